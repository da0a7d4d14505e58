"""Read labels.csv, the table of labelled photos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from reconcile.errors import ReconcileError, UsageError
from reconcile.inputs.cells import cell_text, trim
from reconcile.inputs.quantities import InvalidNumber, NumberForms, decide_mark, is_blank, parse_count
from reconcile.inputs.tables.columns import TableRequest, WantedColumn, fold_words
from reconcile.inputs.tables.open import InvalidLine, open_table, read_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from reconcile.setting_types import DecimalMark


NAME = "labels.csv"
_COLUMNS = {
    "image": WantedColumn(("image",)),
    "count": WantedColumn(("count",)),
    "fold": WantedColumn(("fold",), is_required=False),
    "squashed_224": WantedColumn(("squashed_224",), is_required=False),
}
_YES_OR_NO = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


class InvalidLabel(ValueError):
    """A label that cannot be used. The message is the reason."""


@dataclass(frozen=True)
class Label:
    """The label of one photo."""

    count: int
    fold: int | None
    squashed: bool | None
    """See `LabelledImage`."""


class LabelRow(NamedTuple):
    """One row of labels.csv."""

    image: str
    """The file name of the photo."""
    cells: dict[str, object]
    mark: DecimalMark | None
    """The decimal mark of the counts, if it is known."""

    def label(self) -> Label:
        """Return the label in this row.

        Raises:
            InvalidLabel: the count or the fold is missing or is not a whole number of 0 or more.
        """
        count = _parse("count", self.cells["count"], self.mark)
        fold = self.cells.get("fold")
        squashed = trim(cell_text(self.cells.get("squashed_224"))).lower()
        return Label(count, None if is_blank(fold) else _parse("fold", fold, None), _YES_OR_NO.get(squashed))


def read_label_rows(table: Path, leave_out: Callable[[str], None]) -> list[LabelRow]:
    """Return the rows of labels.csv, sorted by image. It may have any format, encoding and separator of other tables.

    Args:
        table: the file.
        leave_out: called with one line for each row that cannot be split into cells or names no photo.

    Raises:
        ReconcileError: the file lacks a column, has two of one name, is empty, or cannot be read.
    """
    request = TableRequest(str(table), str(table), _COLUMNS, fold_words, lambda _: "")
    try:
        opened = open_table(table, str(table), request)
    except UsageError as error:  # no option names the columns of this file, so the options are not wrong
        raise ReconcileError(str(error)) from None
    forms, named = NumberForms(), list[tuple[str, dict[str, object]]]()
    for row in read_rows(opened):
        if isinstance(row, InvalidLine):
            leave_out(f"left out row {row.number} of {table}: {row.reason}")
            continue
        image = trim(cell_text(row.cells["image"]))
        if image:
            forms.add(row.number, row.cells["count"])
            named.append((image, row.cells))
        else:
            leave_out(f"left out row {row.number} of {table}: the image is missing")
    mark = decide_mark(forms, opened.delimiter)[0]
    return [LabelRow(image, cells, mark) for image, cells in sorted(named, key=lambda pair: pair[0])]


def _parse(name: str, cell: object, mark: DecimalMark | None) -> int:
    if is_blank(cell):
        raise InvalidLabel(f"{name} is missing")
    try:
        return parse_count(cell, mark)
    except InvalidNumber as error:
        raise InvalidLabel(f"{name} is {error}") from None
