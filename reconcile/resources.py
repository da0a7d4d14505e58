"""Find shipped files: models/, reports/ and sql/.

A wheel has these folders inside the package. A checkout has them next to it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def resource(*parts: str) -> Path:
    """Return the path of a shipped file or folder, such as `resource("models", "recipe.toml")`."""
    bundled = _PACKAGE / "_resources"
    root = bundled if bundled.is_dir() else _PACKAGE.parent
    return root.joinpath(*parts)


@cache
def query(name: str) -> str:
    """Return the text of `sql/<name>.sql`, such as `query("join/joined")`."""
    return resource("sql", f"{name}.sql").read_text(encoding="utf-8")
