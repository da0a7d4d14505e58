"""Read tables from workbooks: .xlsx, .xlsm, .xlsb, .xls and .ods."""

from __future__ import annotations

import zipfile
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from reconcile.errors import ReconcileError, UsageError, first_line
from reconcile.inputs.cells import cell_text
from reconcile.inputs.tables.batches import ROWS_AT_ONCE, Batch, Table
from reconcile.inputs.tables.columns import find_columns, missing_columns
from reconcile.inputs.tables.csv_table import MAX_TITLE_LINES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconcile.inputs.tables.columns import TableRequest


_PARTS_OF_WORKBOOKS = ("xl/", "content.xml")
"""How the names of some parts of a workbook start: of .xlsx and .xlsb, and of .ods."""
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
"""A name in every .xlsx that is protected by a password."""
_MAX_UNPACKED = 2 * 1024**3
"""The largest size in bytes of an unpacked workbook. The library holds a whole sheet in memory."""


def open_workbook(path: Path, request: TableRequest, sheet: str | None = None) -> Table:
    """Find the header of a table in a workbook. Rows above the header, such as a title, are skipped.

    Args:
        path: the file on this machine.
        request: the wanted columns.
        sheet: the name of the sheet. Without it, the first visible sheet that has the columns is used.

    Raises:
        UsageError: there is no such sheet, a column is missing, or two columns have the same name.
        ReconcileError: the file is damaged, empty, too large or protected by a password.
    """
    _check_archive(path, request.label)
    with _readable(request.label), _open(path) as book:
        from python_calamine import SheetVisibleEnum

        visible = [
            entry.name for entry in book.sheets_metadata if entry.visible == SheetVisibleEnum.Visible
        ] or book.sheet_names
        candidates = visible if sheet is None else [_find_sheet(sheet, book.sheet_names, request)]
        widest: list[str] = []
        for name in candidates:
            for number, row in enumerate(islice(book.get_sheet_by_name(name).iter_rows(), MAX_TITLE_LINES), start=1):
                header = [cell_text(cell).strip() for cell in row]
                if sum(map(bool, header)) > sum(map(bool, widest)):
                    widest = header
                positions = find_columns(header, request) if any(header) else None
                if positions is not None:
                    note = _describe_choice(name, candidates, request)
                    return Table(_reader(path, request, name, number, positions), header=tuple(header), note=note)
    if not widest:
        raise ReconcileError(f"{request.label} is empty")
    error = str(missing_columns(widest, request))
    raise UsageError(f"{error}; its sheets: {', '.join(visible)}" if len(visible) > 1 else error)


def _reader(path: Path, request: TableRequest, sheet: str, header_line: int, positions: dict[str, int]) -> Any:
    def read() -> Iterator[Batch]:
        with _readable(request.label), _open(path) as book:
            rows = islice(book.get_sheet_by_name(sheet).iter_rows(), header_line, None)
            number = header_line + 1
            while chunk := list(islice(rows, ROWS_AT_ONCE)):
                lines = [line for line, row in enumerate(chunk, start=number) if not _is_empty(row)]
                cells: dict[str, Any] = {
                    ours: [chunk[line - number][index] for line in lines] for ours, index in positions.items()
                }
                number += len(chunk)
                yield Batch(lines, cells)

    return read


def _is_empty(row: list[Any]) -> bool:
    return all(cell is None or (isinstance(cell, str) and not cell.strip()) for cell in row)


def _find_sheet(wanted: str, sheets: list[str], request: TableRequest) -> str:
    """Return the workbook's spelling of a sheet name. Upper and lower case make no difference."""
    for name in sheets:
        if name.strip().lower() == wanted.strip().lower():
            return name
    raise UsageError(f"{request.label} has no sheet {wanted!r}; its sheets: {', '.join(sheets)}")


def _describe_choice(chosen: str, candidates: list[str], request: TableRequest) -> str | None:
    if len(candidates) < 2:
        return None
    return f"{request.label}: reading the sheet {chosen!r} of {', '.join(candidates)}; name another one with #SHEET"


def _check_archive(path: Path, label: str) -> None:
    """Refuse a ZIP archive that is damaged, that is not a workbook, or that would need too much memory.

    Raises:
        UsageError: the archive holds other files.
        ReconcileError: the archive is damaged or too large.
    """
    with path.open("rb") as file:
        if file.read(2) != b"PK":  # the other workbooks are not archives
            return
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, EOFError):
        raise ReconcileError(f"{label} cannot be read as a workbook: it is damaged; save it once more") from None
    if not any(name.lower().startswith(_PARTS_OF_WORKBOOKS) for name in names):
        raise UsageError(f"{label} is a ZIP archive of {', '.join(names)[:100]}; unpack it first")
    if size > _MAX_UNPACKED:
        raise ReconcileError(f"{label} is too large for a workbook ({size / 1e9:.1f} GB unpacked); save it as CSV")


def _open(path: Path) -> Any:
    from python_calamine import CalamineError, CalamineWorkbook, PasswordError

    try:
        with path.open("rb") as file:  # from_path would trust the ending of the name
            return CalamineWorkbook.from_filelike(file)
    except CalamineError:
        if _ENCRYPTED in path.read_bytes():
            raise PasswordError from None
        return CalamineWorkbook.from_path(path)  # its error is more exact if the ending is correct


@contextmanager
def _readable(label: str) -> Iterator[None]:
    """Turn the errors of the library into one that names the file."""
    from python_calamine import CalamineError, PasswordError

    try:
        yield
    except PasswordError:
        raise ReconcileError(f"{label} is protected by a password; save it without one") from None
    except CalamineError as error:
        advice = "; is it a workbook?" if "format" in str(error) else ""
        raise ReconcileError(f"{label} cannot be read as a workbook: {first_line(error)}{advice}") from None
    except OSError as error:
        raise ReconcileError(f"{label} cannot be read: {first_line(error)}") from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # errors that a bug in the library raises
            raise
        raise ReconcileError(f"{label} cannot be read as a workbook: {first_line(error)}") from None
