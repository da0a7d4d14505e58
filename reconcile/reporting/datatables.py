"""The DataTables bundle that ships with itables."""

from __future__ import annotations

import re
from importlib.resources import files

from reconcile.errors import ReconcileError

_EXPORTS = re.compile(r"export\s*\{([^}]*)\};?\s*")


def data_table_css() -> str:
    """Return the bundle's style sheet."""
    return _bundled("dt_bundle.css")


def data_table_module() -> str:
    """Return the bundle as the start of a JavaScript module that defines `DataTable`.

    The bundle is a module that exports DataTables as its default. A script inside a page cannot be imported, so the
    export is replaced by a constant.

    Raises:
        ReconcileError: the bundle of the installed itables has another form.
    """
    text = _bundled("dt_bundle.js")
    exports = [(match, _default(match.group(1))) for match in _EXPORTS.finditer(text)]
    named = [(match, name) for match, name in exports if name]
    if len(named) != 1:
        raise ReconcileError("the DataTables bundle of the installed itables has an unknown form; install itables 2.x")
    match, name = named[0]
    return f"{text[: match.start()]}const DataTable = {name};\n{text[match.end() :]}\n"


def _default(exports: str) -> str | None:
    pairs = (entry.split(" as ") for entry in exports.split(","))
    return next((pair[0].strip() for pair in pairs if pair[-1].strip() == "default"), None)


def _bundled(name: str) -> str:
    return (files("itables") / "html" / name).read_text(encoding="utf-8")
