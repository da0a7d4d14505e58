"""DataTables, from the offline bundle that itables ships: one table that people sort, search and page."""

from __future__ import annotations

import re
from importlib.resources import files

from reconcile.errors import ReconcileError

_EXPORTS = re.compile(r"export\s*\{([^}]*)\};?\s*")


def data_table_css() -> str:
    """The bundle's style sheet."""
    return _bundled("dt_bundle.css")


def data_table_module() -> str:
    """The bundle as the beginning of a JavaScript module in which `DataTable` is defined.

    The bundle is a module of its own that exports DataTables as its default; inside a page there is nobody to import
    it, so the name is bound instead.

    Raises:
        ReconcileError: the installed itables is built in another way.
    """
    text = _bundled("dt_bundle.js")
    found = [(match, _default(match.group(1))) for match in _EXPORTS.finditer(text)]
    named = [(match, name) for match, name in found if name]
    if len(named) != 1:
        raise ReconcileError("the installed version of itables has no DataTables bundle of the form that is known here")
    match, name = named[0]
    return f"{text[: match.start()]}const DataTable = {name};\n{text[match.end() :]}\n"


def _default(exports: str) -> str | None:
    pairs = (entry.split(" as ") for entry in exports.split(","))
    return next((pair[0].strip() for pair in pairs if pair[-1].strip() == "default"), None)


def _bundled(name: str) -> str:
    return (files("itables") / "html" / name).read_text(encoding="utf-8")
