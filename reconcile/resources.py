"""Finds models/, reports/ and sql/: inside the package in a wheel, beside it in a checkout."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def resource(*parts: str) -> Path:
    """The path of a shipped file or folder, such as `resource("sql", "reconciled.sql")`."""
    bundled = _PACKAGE / "_resources"
    root = bundled if bundled.is_dir() else _PACKAGE.parent
    return root.joinpath(*parts)


@cache
def query(name: str) -> str:
    """The text of `sql/<name>.sql`."""
    return resource("sql", f"{name}.sql").read_text(encoding="utf-8")
