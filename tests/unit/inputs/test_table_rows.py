"""Headers and rows of tables: titles, totals, duplicated columns, and rows of another width."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reconcile.errors import UsageError
from reconcile.inputs.table_options import TableOptions
from tests.unit.inputs.tables import FORMATS, HEADER, TEXT_FORMATS, load, load_with_notes, write_table
from tests.workbooks import write_workbook


def load_text(tmp_path, text, name="stock.csv", **options):
    (tmp_path / name).write_bytes(text.encode())
    return load(tmp_path / name, **options)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_row_with_other_cells_than_the_header_is_invalid(tmp_path, separator):
    rows = ["01600,Lamp,7", "01601,Bolt M8x1,25,4", "01602,x", "01603", "01604,x,3,", '01605,"a,b",2', "01606,x,3,,4"]
    table = "\n".join(["bin_id,description,expected_quantity", *rows]).replace(",", separator)
    assert load_text(tmp_path, table) == [
        ("01600", 7, None),
        ("01601", None, "4 cells, the header has 3"),
        ("01602", None, "2 cells, the header has 3"),
        (None, None, "1 cell, the header has 3"),
        ("01604", None, "4 cells, the header has 3"),
        ("01605", 2, None),
        ("01606", None, "5 cells, the header has 3"),
    ]


def test_number_with_thousands_comma_is_never_cut(tmp_path):
    rows = load_text(tmp_path, "bin_id,expected_quantity\n01600,7\n01602,1,200\n")
    assert rows == [("01600", 7, None), ("01602", None, "3 cells, the header has 2")]


def test_empty_cells_after_the_last_column_are_ignored(tmp_path):
    assert load_text(tmp_path, "bin_id,expected_quantity,,\n1,2,,\n2,3\n") == [("1", 2, None), ("2", 3, None)]


def test_cells_of_a_workbook_beyond_the_header_are_ignored(tmp_path):
    write_workbook(tmp_path / "stock.xlsx", {"Sheet1": [HEADER, ["1", 2, "a remark"], ["2"]]})
    rows = load(tmp_path / "stock.xlsx")
    assert rows == [("1", 2, None), ("2", None, "the expected quantity is missing")]


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "xlsx"])
@pytest.mark.parametrize(
    "other",
    [
        "expected_quantity",
        "Expected_Quantity",
        " expected_quantity ",
        "expected_quantity\u00a0",
        "\ufeffexpected_quantity",
    ],
)
def test_two_columns_of_one_name_are_refused(tmp_path, kind, other):
    path = write_table(tmp_path, kind, [("01600", 999, 7)], ("bin_id", "expected_quantity", other))
    with pytest.raises(UsageError, match=r"several columns of one name: column 2 .* and column 3"):
        load(path)


def test_duplicated_column_that_is_not_read_is_no_problem(tmp_path):
    header = ("bin_id", "note", "expected_quantity", "note")
    assert load(write_table(tmp_path, "csv", [("1", "x", 2, "y")], header)) == [("1", 2, None)]


def test_name_that_occurs_twice_in_json_breaks_its_row(tmp_path):
    repeated = (None, None, 'the name "bin_id" occurs several times')
    lines = {
        '{"bin_id": "1", "expected_quantity": 2, "bin_id": "3"}': repeated,
        '{"bin_id": "1", "expected_quantity": 2, "\\u0062in_id": "3"}': repeated,
        '{"bin_id": "4", "expected_quantity": 2, "more": {"bin_id": "5"}}': ("4", 2, None),
        '{"bin_id": "6", "expected_quantity": 2, "note": 1, "note": 2}': ("6", 2, None),
        '["7", 2]': (None, None, "the row is not a JSON object"),
        "no JSON": (None, None, "the row cannot be parsed"),
    }
    assert load_text(tmp_path, "\n".join(lines), "stock.jsonl") == list(lines.values())


TITLES = ["Inventory on hand by bin", "Printed 2026-11-24", ""]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_header_is_found_below_title_lines(tmp_path, separator):
    table = "\n".join([*TITLES, "Bin,On hand,UoM", "01600,7,EA", "01601,3,EA", "Total,10,"]).replace(",", separator)
    columns = {"bin_id": "Bin", "expected_quantity": "On hand"}
    rows = load_text(tmp_path, table, columns=columns)
    assert rows == [("01600", 7, None), ("01601", 3, None), (None, None, "this is a row of totals: Total")]


def test_header_is_found_below_odd_title_lines(tmp_path):
    titles = 'Report of 5" bins\n"unclosed\n"two\nlines",x\nTotal,5\n,,,\n'
    assert load_text(tmp_path, f"{titles}bin_id,expected_quantity\n1,2\n") == [("1", 2, None)]


def test_header_of_a_workbook_is_found_below_title_lines(tmp_path):
    rows = [["Stock"], [], HEADER, ["1", 2], [], ["Grand total", 2]]
    write_workbook(tmp_path / "stock.xlsx", {"Sheet1": rows})
    assert load(tmp_path / "stock.xlsx") == [("1", 2, None), (None, None, "this is a row of totals: Grand total")]


@pytest.mark.parametrize("kind", TEXT_FORMATS)
def test_blank_lines_are_skipped(tmp_path, kind):
    path = write_table(tmp_path, kind, [("1", 2), ("2", 3)])
    end_of_file = "" if kind == "jsonl" else "\x1a"  # as programs for DOS write it
    path.write_text(path.read_text().replace("\n", "\n\n  \n") + end_of_file)
    assert load(path) == [("1", 2, None), ("2", 3, None)]


@pytest.mark.parametrize("kind", FORMATS)
def test_rows_of_totals_are_never_bins(tmp_path, kind):
    totals = [
        "Total", "TOTAL:", " total ", "Grand total", "Sub-total", "Total (2 bins)", "Total: 2 bins", "Total of 2 bins",
        "Summe", "Gesamtsumme", "Gesamtergebnis", "A-01 Total", "Somme", "Total général", "Suma", "Итого", "合計",
    ]  # fmt: skip
    rows = load(write_table(tmp_path, kind, [("1", 2), *((total, 99) for total in totals)]), aggregate=None)
    assert rows[0] == ("1", 2, None)
    assert [(bin_id, quantity) for bin_id, quantity, _ in rows[1:]] == [(None, None)] * len(totals)
    assert all(reason.startswith("this is a row of totals: ") for _, _, reason in rows[1:])


def test_total_without_a_name_is_invalid(tmp_path):
    assert load_text(tmp_path, "bin_id,expected_quantity\n1,2\n,2\n")[1] == (None, None, "the bin id is missing")


@pytest.mark.parametrize("kind", FORMATS)
def test_repeated_bins_are_refused_until_told_what_they_are(tmp_path, kind):
    rows = [("01603", "a", "1"), ("01603", "b", "1"), ("01604", "a", "2"), ("01604", "b", "3")]
    path = write_table(tmp_path, kind, rows, ("bin_id", "sku", "expected_quantity"))
    with pytest.raises(UsageError, match=r"several rows for 2 bins, such as rows \d and \d for bin '01603'.* sum adds"):
        load(path, aggregate=None)
    assert load(path, aggregate="sum") == [("01603", 2, None), ("01604", 5, None)]
    assert [row[1] for row in load(path, aggregate="same")] == [1, 1, 2, 3]


def test_failed_formulas_do_not_count_as_a_repeated_bin(tmp_path):
    rows = load(write_table(tmp_path, "csv", [("#N/A", 1), ("#N/A", 2), ("NULL", 3), ("NULL", 4), ("1", 2)]), None)
    assert [row[0] for row in rows] == [None] * 4 + ["1"]


def test_bad_row_of_a_bin_makes_its_sum_invalid(tmp_path):
    table = "bin_id,sku,expected_quantity\n1,a,2\n1,b,x\n2,a,3\n1,c,4\n3,a,1,5\n3,b,1\n"
    assert load_text(tmp_path, table, aggregate="sum") == [
        ("1", None, "row 3: the expected quantity is not a number: x"),
        ("2", 3, None),
        ("3", None, "row 6: 4 cells, the header has 3"),
    ]


def test_lost_product_ids_are_noted(tmp_path):
    path = write_table(tmp_path, "csv", [("1", "1.20E+05", 2)], ("bin_id", "sku", "expected_quantity"))
    rows, notes = load_with_notes(path, TableOptions({}, "sum"))
    assert rows == [("1", 2, None)]
    assert "1 product id cannot be used, for example: a spreadsheet has turned this id into a number" in notes[0]


def test_one_bad_row_of_many_costs_only_itself(tmp_path):
    ids = [f"{number:06d}" for number in range(100_000)]
    lines = [f"{name},{number % 7}" for number, name in enumerate(ids)]
    lines[70_000] = "070000,x"
    rows = load_text(tmp_path, "\n".join(["bin_id,expected_quantity", *lines]), aggregate=None)
    assert [row for row in rows if row[2]] == [("070000", None, "the expected quantity is not a number: x")]
    assert sum(row[1] is not None for row in rows) == 99_999
    quantities = pa.array([None if number == 70_000 else number % 7 for number in range(100_000)])
    pq.write_table(pa.table({"bin_id": ids, "expected_quantity": quantities}), tmp_path / "stock.parquet")
    assert [row[0] for row in load(tmp_path / "stock.parquet", None) if row[2]] == ["070000"]
