"""`--costs`: valid files, and each way in which a line can be invalid."""

import pytest

from reconcile.errors import UsageError
from reconcile.inputs.unit_costs import read_costs


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
    "line", ["B9,free", "B9,", "B9", ",3", "B9,-1", "B9,nan", "B9,inf", "B9,1e300", "B9,1_000", 'B9,"1,500"', 'B9,"3"x']
)
def test_invalid_line_is_reported_and_the_others_are_read(tmp_path, line):
    costs, warnings = read(tmp_path, f"asin,unit_cost\nB1,1\n{line}\nB2,2\n")
    assert costs == {"B1": 1, "B2": 2}
    [warning] = warnings
    assert warning.startswith("--costs s3://w/costs.csv line 3: ")
    assert warning.endswith("; the line is ignored")


def test_line_without_its_asin_is_reported(tmp_path):
    costs, [warning] = read(tmp_path, "unit_cost,asin\n5\n1,B1\n")
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
        (b"PK\x03\x04 and more", "is a workbook; save it as CSV"),
    ],
)
def test_unusable_file_raises_usage_error(tmp_path, data, message):
    with pytest.raises(UsageError, match=f"^--costs s3://w/costs.csv {message}"):
        read(tmp_path, data)


def test_missing_file_raises_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"--costs gone\.csv cannot be read: No such file"):
        read_costs(tmp_path / "gone.csv", "gone.csv", print)
