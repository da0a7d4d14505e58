"""A table that Python's csv module wrote is read back unchanged, except for spaces around ids."""

import csv
import random

import duckdb
import pytest

from reconcile.inputs.records_table import load_table
from reconcile.inputs.table_options import TableOptions
from reconcile.inputs.tables import csv_rows, csv_table
from reconcile.resources import query

IDS = ("B1", "00017", " x ", "", "semi;colon", "com,ma", 'in"ch', "two\nlines", "tab\tin", "é\u00a0", "  ", "7.jpg")


@pytest.mark.parametrize("batch_rows", [1, 7, 50_000])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
@pytest.mark.parametrize("columns", [("bin_id", "expected_quantity"), ("expected_quantity", "name", "bin_id", "note")])
def test_csv_in_any_dialect_is_read_back_unchanged(tmp_path, monkeypatch, batch_rows, separator, quoting, columns):
    monkeypatch.setattr(csv_table, "ROWS_AT_ONCE", batch_rows)
    monkeypatch.setattr(csv_rows, "_LINES_AT_ONCE", batch_rows)
    rng = random.Random(f"{separator}{quoting}{columns}")
    rows = [
        dict.fromkeys(columns, "x") | {"bin_id": rng.choice(IDS), "expected_quantity": number} for number in range(70)
    ]
    path = tmp_path / "stock.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        line_end = rng.choice(("\n", "\r\n"))
        writer = csv.DictWriter(file, columns, delimiter=separator, quoting=quoting, lineterminator=line_end)
        writer.writeheader()
        writer.writerows(rows)
    with duckdb.connect() as database:
        database.execute(query("macros"))
        load_table(database, path, path.name, TableOptions(aggregate="same"))
        loaded = database.sql("SELECT line, bin_id, expected_quantity FROM source_rows ORDER BY line").fetchall()
    assert loaded == [
        (line, row["bin_id"].strip().removesuffix(".jpg"), row["expected_quantity"] if row["bin_id"].strip() else None)
        for line, row in enumerate(rows, 2)
    ]
