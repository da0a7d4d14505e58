"""Convert the columns of a table of records: ids and counts, some thousands of rows at a time."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reconcile.inputs.cells import MAX_FLOAT_ID, SUSPICIOUS, InvalidId, cell_text, clean_id, id_of_cell
from reconcile.inputs.quantities import MAX_COUNT, InvalidNumber, NumberForms, is_blank, parse_count
from reconcile.inputs.tables.parquet import as_strings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reconcile.inputs.tables.batches import Cells
    from reconcile.setting_types import DecimalMark


_MAX_FLOAT32_ID = 2**24
"""From this number on, a float32 does not hold every integer."""
_PLAIN_DIGITS = 15
"""Texts of so many digits are below `MAX_COUNT`."""
_MOST_CACHED = 10_000


def convert_ids(cells: Cells) -> tuple[pa.Array, dict[int, InvalidId]]:
    """Return the ids in a column as text, and the errors of cells that are not ids, by their positions.

    An empty cell becomes empty text, and so does a cell that is not an id.
    """
    strings = _as_id_strings(cells)
    if strings is None:
        max_float = MAX_FLOAT_ID
        if isinstance(cells, pa.Array) and cells.type in (pa.float16(), pa.float32()):
            max_float = _MAX_FLOAT32_ID
        values = cells if isinstance(cells, list) else cells.to_pylist()
        ids, invalid = _each(values, range(len(values)), lambda cell: id_of_cell(cell, max_float))
        return pa.array(ids, pa.string()), invalid
    # Ids of letters and digits are not suspicious, unless they may be a word such as Total.
    is_word = pc.or_(pc.utf8_is_alpha(strings), pc.invert(pc.utf8_is_alnum(strings)))
    words = _positions(is_word)
    if not words:
        return strings, {}
    is_suspicious = pc.match_substring_regex(strings.take(pa.array(words)), SUSPICIOUS)
    positions = [words[index] for index in _positions(is_suspicious)]
    if not positions:
        return strings, {}
    cleaned, invalid = _each(strings.take(pa.array(positions)).to_pylist(), positions, clean_id)
    mask = np.zeros(len(strings), dtype=bool)
    mask[positions] = True
    return pc.replace_with_mask(strings, mask, pa.array(cleaned, pa.string())), invalid


def convert_texts(cells: Cells) -> pa.Array:
    """Return the cells of a column as text. Empty cells become empty text."""
    strings = _as_id_strings(cells)
    if strings is not None:
        return strings
    if isinstance(cells, pa.Array) and not pa.types.is_floating(cells.type):
        with suppress(pa.ArrowInvalid, pa.ArrowNotImplementedError):  # lists, for example, are converted one by one
            return pc.fill_null(cells.cast(pa.string()), "")
    values = cells if isinstance(cells, list) else cells.to_pylist()
    return pa.array([cell_text(cell) for cell in values], pa.string())


class CountColumn:
    """A column of counts, which is converted some rows at a time.

    Args:
        mark: the decimal mark of the column, if it is known.
    """

    def __init__(self, mark: DecimalMark | None) -> None:
        self._mark = mark
        self._known: dict[Any, int | InvalidNumber] = {}
        self.forms = NumberForms()
        """The forms of the numbers so far."""

    def convert(self, cells: Cells, lines: Sequence[int]) -> tuple[pa.Array, dict[int, str]]:
        """Return the counts in a column, int64, and the errors of cells that are not counts, by their positions.

        Args:
            cells: the cells of the column.
            lines: the line of each cell.
        """
        counts = _plain_counts(cells)
        if counts is None:  # cells of several types
            values: Sequence[Any] = cells if isinstance(cells, list) else cells.to_pylist()
            positions: Sequence[int] = range(len(values))
        else:
            positions = _positions(counts.is_null())
            if not positions:
                return counts, {}
            values = [cells[index] for index in positions]
            if not isinstance(cells, list):
                values = [value.as_py() for value in values]
        parsed, reasons = list[int | None](), dict[int, str]()
        for position, cell in zip(positions, values, strict=True):
            result = self._parse(cell, lines[position])
            parsed.append(result if isinstance(result, int) else None)
            if isinstance(result, InvalidNumber):
                reasons[position] = f"the expected quantity is {'missing' if is_blank(cell) else result}"
        others = pa.array(parsed, pa.int64())
        return (others if counts is None else pc.replace_with_mask(counts, counts.is_null(), others)), reasons

    def _parse(self, cell: Any, line: int) -> int | InvalidNumber:
        # 1, 1.0 and True are the same key of a dictionary, but only two of them are counts.
        key = cell if isinstance(cell, str) else (type(cell), str(cell))
        result = self._known.get(key)
        if result is None:
            self.forms.add(line, cell)
            try:
                result = parse_count(cell.decode("utf-8", "replace") if isinstance(cell, bytes) else cell, self._mark)
            except InvalidNumber as error:
                result = error
            if len(self._known) < _MOST_CACHED:
                self._known[key] = result
        return result


def _plain_counts(cells: Cells) -> pa.Array | None:
    """Return the cells that are clearly counts as int64, and the others as null; None if the cells have many types."""
    array = _as_array(cells) if isinstance(cells, list) else cells
    if array is None:
        return None
    if not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
        strings = _as_strings(array)
        if strings is None:
            return None
        is_plain = pc.and_(pc.ascii_is_decimal(strings), pc.less_equal(pc.binary_length(strings), _PLAIN_DIGITS))
        return pc.if_else(is_plain, strings, None).cast(pa.int64())
    if pa.types.is_floating(array.type):
        array = array.cast(pa.float64())
    elif array.type != pa.uint64():  # most of whose numbers no int64 can hold
        array = array.cast(pa.int64())
    is_count = pc.and_(
        pc.greater_equal(array, pa.scalar(0, array.type)), pc.less_equal(array, pa.scalar(MAX_COUNT, array.type))
    )
    if pa.types.is_floating(array.type):
        is_count = pc.and_(is_count, pc.equal(array, pc.floor(array)))
    return pc.if_else(is_count, array, None).cast(pa.int64())


def _as_id_strings(cells: Cells) -> pa.Array | None:
    """Return a column of text or whole numbers as strings without nulls; None if its cells have other types."""
    if isinstance(cells, list):
        array = _as_array(cells)
        # A float among integers makes floats of all of them, so columns with floats are converted cell by cell.
        if array is None or not (pa.types.is_integer(array.type) or pa.types.is_string(array.type)):
            return None
        cells = array
    if pa.types.is_integer(cells.type):
        return pc.fill_null(cells.cast(pa.string()), "")
    strings = _as_strings(cells)
    if strings is not None or not pa.types.is_floating(cells.type):
        return strings
    limit = MAX_FLOAT_ID if cells.type == pa.float64() else _MAX_FLOAT32_ID
    values = cells.cast(pa.float64())
    is_missing = pc.or_kleene(values.is_null(), pc.is_nan(values))
    is_whole = pc.and_(pc.equal(values, pc.floor(values)), pc.less(pc.abs(values), limit))
    if not pc.all(pc.or_(is_missing, pc.fill_null(is_whole, False))).as_py():
        return None
    return pc.fill_null(pc.if_else(is_missing, None, values).cast(pa.int64()).cast(pa.string()), "")


def _as_array(cells: list[object]) -> pa.Array | None:
    """Return cells of one type as an array; None if they have several."""
    try:
        return pa.array(cells)
    except (TypeError, OverflowError, pa.ArrowException, UnicodeEncodeError):
        return None


def _as_strings(cells: pa.Array) -> pa.Array | None:
    """Return a column of text as strings without nulls; None if it has another type."""
    kind = cells.type.value_type if pa.types.is_dictionary(cells.type) else cells.type
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    is_binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    return pc.fill_null(as_strings(cells), "") if is_text or is_binary or pa.types.is_null(kind) else None


def _positions(mask: pa.Array) -> list[int]:
    return pc.indices_nonzero(mask).to_pylist() if pc.any(mask).as_py() else []


def _each(
    values: Sequence[Any], positions: Sequence[int], convert: Callable[[Any], str]
) -> tuple[list[str], dict[int, InvalidId]]:
    """Convert each value. A value that is not an id becomes empty text, and its error is returned by its position."""
    converted, invalid = list[str](), dict[int, InvalidId]()
    for position, value in zip(positions, values, strict=True):
        try:
            converted.append(convert(value))
        except InvalidId as error:
            converted.append("")
            invalid[position] = error
    return converted, invalid
