"""`--costs`: valid files, and each way in which a line can be invalid."""

import pytest

from reconcile.errors import UsageError
from reconcile.inputs.unit_costs import read_costs
from tests.workbooks import write_workbook


def read(tmp_path, data: str | bytes) -> tuple[dict[str, float], list[str]]:
    """Return the costs in a file with this content, and the warnings about its lines."""
    path = tmp_path / "downloaded.csv"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    warnings: list[str] = []
    table = read_costs(path, "s3://w/costs.csv", warnings.append)
    return dict(zip(*table.to_pydict().values(), strict=True)), warnings


def test_valid_file_has_no_warnings(tmp_path):
    assert read(tmp_path, "asin,unit_cost\nB1,2.50\nB2,0\n") == ({"B1": 2.5, "B2": 0.0}, [])


@pytest.mark.parametrize(
    "data",
    [
        "\ufeffasin,unit_cost\r\nB1,2.5\r\n",
        "name,unit_cost,asin\n\"Soap, two\nlines\",2.5,B1\n",
        "asin;unit_cost\r\nB1;2,50\r\n",
        "sep=;\r\nASIN;Unit Cost\r\nB1;2,5\r\n".encode("utf-16"),
        "asin\tunit_cost\tname\r\nB1\t2.5\tcaf\xe9\r\n".encode("cp1252"),
    ],
    ids=["byte order mark", "more columns", "decimal comma", "utf-16", "latin-1"],
)  # fmt: skip
def test_csv_of_programs_and_spreadsheets_is_read(tmp_path, data):
    assert read(tmp_path, data) == ({"B1": 2.5}, [])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("B9,free", "the unit cost is not a number: free"),
        ("B9,", "the unit cost is missing"),
        ("B9", "1 cell, the header has 2"),
        ("B9,1,200", "3 cells, the header has 2"),
        (",3", "the ASIN is missing"),
        ("B9,-1", "the unit cost is not a number from 0 to 1e+12: -1"),
        ("B9,nan", "the unit cost is not a number from 0 to 1e+12: nan"),
        ("B9,inf", "the unit cost is not a number from 0 to 1e+12: inf"),
        ("B9,1e300", "the unit cost is not a number from 0 to 1e+12: 1e300"),
        ("B9,1.20E+03", "the unit cost is rounded by a spreadsheet: 1.20E+03"),
        ("B9,1_000", "the unit cost is not a number: 1_000"),
        ('B9,"1,500"', "the unit cost is either 1.5 or 1500: 1,500"),
        ("B9,1.500", "the unit cost is either 1.5 or 1500: 1.500"),
        ('B9,"3"x', "',' expected after '\"'"),
        ("1.60E+03,3", "a spreadsheet has turned this id into a number: 1.60E+03"),
        ("02-Jan,3", "a spreadsheet has turned this id into a date: 02-Jan"),
        ("Total,3", "this is a row of totals: Total"),
        ("#N/A,3", "the formula in this cell has failed: #N/A"),
        ("NULL,3", "the ASIN is missing"),
    ],
)
def test_invalid_line_is_reported_and_the_others_are_read(tmp_path, line, reason):
    costs, warnings = read(tmp_path, f"asin,unit_cost\nB1,1\n{line}\nB2,2\n")
    assert costs == {"B1": 1, "B2": 2}
    assert warnings == [f"--costs s3://w/costs.csv line 3: {reason}; the line is ignored"]


@pytest.mark.parametrize(
    ("data", "cost", "why"),
    [
        ("asin,unit_cost\nB1,1.500\nB2,2.5\n", 1.5, "a decimal point, because of 2.5"),
        ('asin,unit_cost\nB1,1.500\nB2,"2,5"\n', 1500, "a decimal comma, because of 2,5"),
        ("asin;unit_cost\nB1;1,500\nB2;2\n", 1.5, "a decimal comma, because semicolons separate the cells"),
    ],
)
def test_other_cells_decide_how_an_ambiguous_cost_is_read(tmp_path, data, cost, why):
    costs, warnings = read(tmp_path, data)
    assert costs["B1"] == cost
    assert warnings == [f"--costs s3://w/costs.csv: unit costs have {why}"]


def test_guarded_asins_and_lines_above_the_header_are_read(tmp_path):
    costs = {"0123456789": 1.0, "0306406152": 2.0}
    assert read(tmp_path, 'Costs\nof today\n\nASIN,Unit Cost\n="0123456789",1\n\'0306406152,2\n') == (costs, [])


def test_costs_are_read_from_a_sheet_of_a_workbook(tmp_path):
    rows = [["asin", "unit_cost"], ["B1", 12.345], ["B2", "2,50"], ["B3", float("1e300")]]
    write_workbook(tmp_path / "costs.xlsx", {"Notes": [["none"]], "May": rows})
    warnings: list[str] = []
    table = read_costs(tmp_path / "costs.xlsx", "costs.xlsx#may", warnings.append)
    assert table.to_pydict() == {"asin": ["B1", "B2"], "unit_cost": [12.345, 2.5]}
    assert [warning.partition(":")[0] for warning in warnings] == ["--costs costs.xlsx#may line 4"]
    with pytest.raises(UsageError, match=r"--costs costs.xlsx#June has no sheet 'June'; its sheets: Notes, May$"):
        read_costs(tmp_path / "costs.xlsx", "costs.xlsx#June", print)


def test_line_without_its_asin_is_reported(tmp_path):
    costs, [warning] = read(tmp_path, "unit_cost,asin\n5,\n1,B1\n")
    assert costs == {"B1": 1}
    assert "line 2: the ASIN is missing" in warning


def test_first_of_two_costs_is_used_and_the_other_reported(tmp_path):
    costs, warnings = read(tmp_path, "asin,unit_cost\nB1,1\nB1,1.0\nB1,2\n")
    assert costs == {"B1": 1}
    assert warnings == [
        "--costs s3://w/costs.csv line 4: ASIN B1 has another cost in an earlier line; this line is ignored"
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("asin,cost\nB1,1\n", "has no column unit_cost"),
        ("sku,cost\nB1,1\n", "has no column asin and no column unit_cost"),
        ("", "is empty"),
        ("asin,unit_cost\n", "has no valid line"),
        ("asin,unit_cost\nB1,free\n", "has no valid line"),
        (b"PK\x03\x04 and more", "cannot be read as a workbook: "),
        ("<!DOCTYPE html>\n<html><body><table>", "is an HTML page; save the table as CSV"),
        ("asin,Unit Cost,unit_cost\nB1,1,2\n", "has several columns of one name: column 2 .* and column 3"),
    ],
)
def test_unusable_file_raises_usage_error(tmp_path, data, message):
    with pytest.raises(UsageError, match=f"^--costs s3://w/costs.csv {message}"):
        read(tmp_path, data)


def test_missing_file_raises_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"--costs gone\.csv cannot be read: No such file"):
        read_costs(tmp_path / "gone.csv", "gone.csv", print)
