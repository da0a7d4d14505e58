"""Fuzz tests of tables: no row is lost, no cell is read from another column, and damage gives one clear error."""

import json

import pytest

from reconcile.errors import ReconcileError
from reconcile.inputs.key_files import KeyFileReader
from reconcile.inputs.tables.columns import TableRequest, WantedColumn, fold_case
from reconcile.inputs.tables.open import InvalidLine, open_table, read_rows
from reconcile.verdicts.csv_file import read_verdict_file
from tests.fuzz.inputs import changed, corpus, fuzz
from tests.unit.inputs.tables import FORMATS, load, write_table

COLUMNS = {name: WantedColumn((name,)) for name in ("bin_id", "expected_quantity")}
REQUEST = TableRequest("stock", "--records stock", COLUMNS, fold_case, lambda missing: "")
MARKS = "ab7 ,;\t\"'=\u00e9"
ROWS = [["01600", 7], ["01601", 0], ["01602", 1200]]


def damaged(seeds, kinds):
    """Return a function that draws the ending of a file's name, and damaged content."""
    change = changed(seeds)
    return lambda random: (random.choice(kinds), change(random))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return one folder for all inputs. Each input overwrites the file of the one before."""
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def binary_tables(folder):
    """Return sound tables in the binary formats."""
    return {kind: write_table(folder, kind, ROWS).read_bytes() for kind in ("parquet", "xlsx")}


def read_all(path):
    """Return the rows of a table, or None if it is refused."""
    try:
        return list(read_rows(open_table(path, path.name, REQUEST)))
    except ReconcileError:
        return None


def check(rows):
    for row in rows or []:
        assert row.number >= 1
        assert row.reason if isinstance(row, InvalidLine) else set(row.cells) == set(COLUMNS)


@fuzz(1500, damaged([*corpus("table-*"), *corpus("verdicts-*")], ["csv", "tsv", "jsonl", "txt"]))
def test_damaged_text_table_is_read_or_refused(folder, damaged_file):
    kind, data = damaged_file
    path = folder / f"damaged.{kind}"
    path.write_bytes(data)
    check(read_all(path))


@pytest.mark.parametrize("kind", ["parquet", "xlsx"])
def test_damaged_binary_table_is_read_or_refused(folder, binary_tables, kind):
    path = folder / f"damaged.{kind}"

    @fuzz(250, changed([binary_tables[kind]]))
    def read_damaged(data):
        path.write_bytes(data)
        check(read_all(path))

    read_damaged()


def wide_rows(random):
    """Return rows: a number, the cells too many, and a text with marks that tables use."""
    return [
        (
            random.randrange(10**6),
            random.choice((-1, 0, 0, 0, 1, 2)),
            "".join(random.choices("ab7 ,;\t\"'=\u00e9", k=4)),
        )
        for _ in range(random.randrange(1, 30))
    ]


@fuzz(600, wide_rows)
def test_only_rows_of_another_width_are_invalid(folder, rows):
    path = folder / "widths.csv"
    quoted = [(number, extra, '"' + text.replace('"', '""') + '"') for number, extra, text in rows]
    lines = [",".join([f"id{n}", str(n), text, *["9"] * extra][: 3 + extra]) for n, extra, text in quoted]
    path.write_text("bin_id,expected_quantity,note\n" + "\n".join(lines) + "\n")
    read = read_all(path)
    assert [row.number for row in read] == list(range(2, len(rows) + 2))
    for row, (number, extra, _) in zip(read, rows, strict=True):
        assert isinstance(row, InvalidLine) == (extra != 0)
        assert extra or row.cells == {"bin_id": f"id{number}", "expected_quantity": str(number)}


@pytest.mark.parametrize("kind", FORMATS)
def test_table_of_records_gives_the_same_quantities_in_every_format(folder, kind):
    @fuzz(8, lambda random: [random.randrange(10**6) for _ in range(100)])
    def read_back(quantities):
        rows = [[f"bin-{index}", quantity] for index, quantity in enumerate(quantities)]
        assert load(write_table(folder, kind, rows)) == [(name, quantity, None) for name, quantity in rows]

    read_back()


@fuzz(1200, damaged(corpus("verdicts-*"), ["csv", "jsonl"]))
def test_damaged_file_of_verdicts_is_read_or_refused(folder, damaged_file):
    kind, data = damaged_file
    path = folder / f"verdicts.{kind}"
    path.write_bytes(data)
    try:
        verdicts, invalid = read_verdict_file(path)
    except ReconcileError:
        return
    assert all(line.reason for line in invalid)
    for verdict in verdicts:
        assert verdict.bin_id
        assert verdict.run_id
        assert 0 <= verdict.true_count <= 99_999


def any_counts(random):
    """Return counts of verdicts, and texts among them."""
    return [random.choice((random.randrange(100_000), "", "x", "1.0", "-1")) for _ in range(10)]


@fuzz(600, any_counts)
def test_verdicts_have_the_written_counts_or_are_invalid(folder, counts):
    path = folder / "counts.jsonl"
    rows = [{"bin_id": f"b{index}", "run_id": "r", "true_count": count} for index, count in enumerate(counts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    verdicts, _ = read_verdict_file(path)
    read = {verdict.bin_id: verdict.true_count for verdict in verdicts}
    for index, count in enumerate(counts):
        if isinstance(count, int):
            assert read[f"b{index}"] == count


@fuzz(1200, damaged(corpus("keys-*"), ["csv", "jsonl"]))
def test_damaged_list_of_keys_is_read_or_refused(folder, damaged_file):
    kind, data = damaged_file
    path = folder / f"keys.{kind}"
    path.write_bytes(data)
    warnings = []
    try:
        tables = list(KeyFileReader(path.name, warnings.append).read_table(path))
    except ReconcileError:
        return
    for table in tables:
        assert table["key"].null_count == 0
        assert all(size >= -1 for size in table["size"].to_pylist())
