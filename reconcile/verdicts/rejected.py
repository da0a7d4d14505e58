"""Write the invalid lines of a file of verdicts as CSV, with the reasons, so that people can correct them."""

from __future__ import annotations

import codecs
import csv
import io
from typing import TYPE_CHECKING

import pyarrow as pa

from reconcile.database import open_database
from reconcile.inputs.cells import cell_text
from reconcile.inputs.tables.columns import fold_words
from reconcile.inputs.tables.open import open_table
from reconcile.verdicts.csv_file import OPTIONAL, REQUIRED, request_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from reconcile.inputs.tables.open import InvalidLine


REASON = "rejected_because"
"""The first column. A corrected file may keep it, because the import ignores it."""


def rejected_csv(path: Path, invalid: Sequence[InvalidLine], work: Path) -> bytes:
    """Return the invalid lines with all their cells as CSV bytes in which no cell is a formula.

    Args:
        path: the file of verdicts, which `read_verdict_file` has read.
        invalid: the lines of it that were not imported.
        work: a folder for DuckDB.

    Raises:
        ReconcileError: the file cannot be read any more.
    """
    reasons = {line.number: line.reason for line in invalid}
    header = open_table(path, str(path), request_columns((*REQUIRED, *OPTIONAL), str(path))).header
    names = header or (*REQUIRED, *OPTIONAL)  # Parquet and JSON Lines have no header
    kept = [index for index, name in enumerate(names) if fold_words(name) != REASON]
    rows = [[REASON, *(names[index] for index in kept)]]
    for number, cells in sorted(_original_cells(path, names)):
        if number in reasons:
            beyond = cells[len(names) :]  # cells of a row that has more than its header
            rows.append([reasons[number], *(cells[index] for index in kept if index < len(cells)), *beyond])
    text = io.StringIO()
    csv.writer(text).writerows(_plain_text(rows, work))
    return codecs.BOM_UTF8 + text.getvalue().encode()


def _original_cells(path: Path, names: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of each row, in the order of the header."""
    folded = [fold_words(name) for name in names]
    unique = [name for name in names if name and folded.count(fold_words(name)) == 1]
    for batch in open_table(path, str(path), request_columns(unique, str(path))).read():
        columns = [batch.cells.get(name) if name in unique else None for name in names]
        for index, number in enumerate(batch.lines):
            yield number, [cell_text(_value(column[index])) if column is not None else "" for column in columns]
        yield from ((row.line, row.cells) for row in batch.unreadable)


def _value(cell: object) -> object:
    return cell.as_py() if isinstance(cell, pa.Scalar) else cell


def _plain_text(rows: Sequence[list[str]], work: Path) -> list[list[str]]:
    """Return rows of cells of which no spreadsheet reads one as a formula."""
    with open_database(work) as database:
        database.register("rejected", pa.table({"cells": pa.array(rows, pa.list_(pa.string()))}))
        plain = database.sql("SELECT list_transform(cells, lambda cell: plain_text(cell)) FROM rejected").fetchall()
    return [cells for (cells,) in plain]
