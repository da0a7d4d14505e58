"""Load the rows of a table of records into DuckDB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reconcile.database import literal
from reconcile.errors import UsageError
from reconcile.inputs.cells import SUSPICIOUS, InvalidId, TotalsRow, clean_id, is_total
from reconcile.inputs.record_columns import CountColumn, convert_ids, convert_texts
from reconcile.inputs.tables.columns import fold_case
from reconcile.resources import query

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reconcile.inputs.quantities import NumberForms
    from reconcile.inputs.table_options import TableOptions
    from reconcile.inputs.tables.batches import Batch, Table, UnreadableRow
    from reconcile.setting_types import DecimalMark


_FILE_ENDING = r"(?i)\.(jpe?g|png|webp|tiff?|bmp|gif|json)$"
"""An ending that is removed from bin ids, because they are often given as the photo's file name."""
_ROWS = {"line": pa.int64(), "bin_id": pa.string(), "expected_quantity": pa.int64(), "changed_at": pa.string()}
_PRODUCTS = {"product_id": pa.string(), "product_name": pa.string()}
_REASON = {"reason": pa.string()}
_SHIFTED = pa.schema({"line": pa.int64(), "cell": pa.string(), "reason": pa.string()})
_MOST_SHIFTED = 100_000
"""The most cells of rows with other cells than the header that may be bin ids."""


class TableLoader:
    """Loads one table of records."""

    def __init__(self, database: duckdb.DuckDBPyConnection, table: Table, source: str, options: TableOptions) -> None:
        self._database, self._table, self._source, self._options = database, table, source, options
        self._name = "product_rows" if options.has_products else "source_rows"
        self._schema = pa.schema(_ROWS | (_PRODUCTS if options.has_products else {}) | _REASON)
        self._width = len(table.header)
        self._header = {fold_case(name) for name in table.header if name}
        self.lost_products = 0
        """How many product ids cannot be used."""
        self.lost_example = ""
        """Why one of them cannot be used."""
        self._shifted: list[dict[str, Any]] = []
        self._error: BaseException | None = None

    def load(self, mark: DecimalMark | None) -> NumberForms:
        """Create the table of rows, and return how their quantities are written.

        Raises:
            UsageError: so many rows have other cells than the header that the rows of a bin cannot be added up.
            ReconcileError: the file turns out to be damaged.
        """
        database, column = self._database, CountColumn(mark)
        database.execute(f"DROP TABLE IF EXISTS {self._name}")
        database.execute(f"CREATE OR REPLACE MACRO table_row(n) AS {literal(f'{self._source} row ')} || n")
        record = "bin_id" if self._options.aggregate == "sum" else "line::VARCHAR"
        database.execute(f"CREATE OR REPLACE MACRO record_of(line, bin_id) AS {record}")
        self.lost_products, self._shifted, self._error = 0, [], None
        try:
            database.from_arrow(pa.RecordBatchReader.from_batches(self._schema, self._rows(column))).create(self._name)
        except duckdb.Error:
            if self._error is not None:  # DuckDB hides what went wrong while it was fetching rows
                raise self._error from None
            raise
        self._database.register("shifted_cells", pa.Table.from_pylist(self._shifted, _SHIFTED))
        return column.forms

    def make_records(self) -> None:
        """Create the table `source_rows` from the rows of products."""
        name = "products_summed" if self._options.aggregate == "sum" else "products_as_bins"
        self._database.execute(f"CREATE TABLE source_rows AS {query(f'inputs/{name}')}")

    def _rows(self, column: CountColumn) -> Iterator[pa.RecordBatch]:
        """Yield all rows, and keep the error if they end early."""
        try:
            for batch in self._table.read():
                yield self._convert(batch, column)
                if batch.unreadable:
                    yield self._convert_unreadable(batch.unreadable)
        except BaseException as error:
            self._error = error
            raise

    def _convert(self, batch: Batch, column: CountColumn) -> pa.RecordBatch:
        cells = batch.cells
        ids, invalid_ids = convert_ids(cells["bin_id"])
        counts, reasons = column.convert(cells["expected_quantity"], batch.lines)
        is_missing = pc.equal(pc.utf8_trim(ids, " "), "")
        if pc.any(is_missing).as_py():
            reasons |= dict.fromkeys(pc.indices_nonzero(is_missing).to_pylist(), "the bin id is missing")
        reasons |= {index: str(error) for index, error in invalid_ids.items()}
        nameless = set(invalid_ids)
        products: dict[str, pa.Array] = {}
        if self._options.has_products:
            products = self._convert_products(batch, reasons, nameless)
        for index in reasons:
            if fold_case(ids[index].as_py()) in self._header:  # printed lists repeat the header on each page
                reasons[index] = "the row repeats the header"
                nameless.add(index)
        changes = convert_texts(cells["changed_at"]) if "changed_at" in cells else pa.nulls(len(ids), pa.string())
        rows = {
            "line": _as_lines(batch.lines),
            "bin_id": _without(_without_ending(ids), nameless),
            "expected_quantity": _without(counts, reasons),
            "changed_at": changes,
            **products,
            "reason": _texts_at(reasons, len(ids)),
        }
        return pa.record_batch(rows, self._schema)

    def _convert_products(self, batch: Batch, reasons: dict[int, str], nameless: set[int]) -> dict[str, pa.Array]:
        """Return the columns of the products. Rows of totals, which would be added to the products, become invalid."""
        columns = {name: pa.nulls(len(batch.lines), pa.string()) for name in _PRODUCTS}
        if "product_id" in batch.cells:
            ids, invalid = convert_ids(batch.cells["product_id"])
            lost = [str(error) for error in invalid.values() if not isinstance(error, TotalsRow)]
            self.lost_products += len(lost)
            self.lost_example = self.lost_example or next(iter(lost), "")
            columns["product_id"] = ids
        if "product_name" in batch.cells:
            columns["product_name"] = convert_texts(batch.cells["product_name"])
        texts = [convert_texts(batch.cells[name]) for name in _PRODUCTS if name in batch.cells]
        if texts:
            is_suspicious = pc.match_substring_regex(texts[0], SUSPICIOUS)
            for column in texts[1:]:
                is_suspicious = pc.or_(is_suspicious, pc.match_substring_regex(column, SUSPICIOUS))
            for index in pc.indices_nonzero(is_suspicious).to_pylist():
                words = [word for word in (column[index].as_py().strip() for column in texts) if word]
                if words and all(map(is_total, words)):
                    reasons[index] = f"this is a row of totals: {words[0]}"
                    nameless.add(index)
        return {
            name: pc.if_else(pc.equal(pc.utf8_trim(texts, " "), ""), None, texts) for name, texts in columns.items()
        }

    def _convert_unreadable(self, rows: list[UnreadableRow]) -> pa.RecordBatch:
        """Return rows for what could not be split into columns. The first cell may still be the bin id."""
        position = self._table.positions.get("bin_id")
        if position is not None and position > 0 and self._options.aggregate == "sum":
            self._shifted += [
                {"line": row.line, "cell": cell, "reason": row.reason}
                for row in rows
                for cell in _possible_ids(row, position, self._width)
            ]
            if len(self._shifted) > _MOST_SHIFTED:
                raise UsageError(f"--records {self._source}: too many rows have other cells than the header")
        columns = {field.name: pa.nulls(len(rows), field.type) for field in self._schema}
        columns["line"] = pa.array([row.line for row in rows], pa.int64())
        bins = pa.array([_first_id(row) if position == 0 else None for row in rows], pa.string())
        columns["bin_id"] = _without_ending(bins)
        columns["reason"] = pa.array([row.reason for row in rows], pa.string())
        return pa.record_batch(columns, self._schema)


def _as_lines(lines: Sequence[int]) -> pa.Array:
    if isinstance(lines, range):
        return pa.array(np.arange(lines.start, lines.stop))
    return pa.array(lines, pa.int64())


def _without_ending(ids: pa.Array) -> pa.Array:
    """Return ids without the ending of an image or of a JSON file."""
    has_dot = pc.any(pc.match_substring(ids, ".")).as_py()
    return pc.replace_substring_regex(ids, _FILE_ENDING, "") if has_dot else ids


def _first_id(row: UnreadableRow) -> str | None:
    """Return the first cell of a row as an id; None for a row of one cell, which is text and not an id."""
    if len(row.cells) < 2:
        return None
    try:
        return clean_id(row.cells[0]).strip() or None
    except InvalidId:
        return None


def _possible_ids(row: UnreadableRow, position: int, columns: int) -> list[str]:
    """Return the cells of a row that may be its bin id. Additional cells shift those to their right."""
    last = position + max(len(row.cells) - columns, 0)
    cells = []
    for cell in row.cells[position : last + 1]:
        try:
            cells.append(clean_id(cell))
        except InvalidId:
            continue
    return cells


def _without(column: pa.Array, positions: set[int] | dict[int, str]) -> pa.Array:
    """Return a column with nulls at some positions."""
    if not positions:
        return column
    mask = [False] * len(column)
    for position in positions:
        mask[position] = True
    return pc.if_else(pa.array(mask), None, column)


def _texts_at(texts: Mapping[int, str], length: int) -> pa.Array:
    """Return a column with texts at some positions, and null elsewhere."""
    if not texts:
        return pa.nulls(length, pa.string())
    column: list[str | None] = [None] * length
    for position, text in texts.items():
        column[position] = text
    return pa.array(column, pa.string())
