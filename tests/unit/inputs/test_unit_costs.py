"""--costs: a good file, and every way in which a line can be bad."""

import pytest

from reconcile.errors import UsageError
from reconcile.inputs.unit_costs import read_costs


def costs_of(tmp_path, data: str | bytes) -> tuple[dict[str, float], list[str]]:
    path = tmp_path / "downloaded.csv"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    said: list[str] = []
    table = read_costs(path, "s3://w/costs.csv", said.append)
    return dict(zip(*table.to_pydict().values(), strict=True)), said


def test_a_good_file(tmp_path):
    assert costs_of(tmp_path, "asin,unit_cost\nB1,2.50\nB2,0\n") == ({"B1": 2.5, "B2": 0.0}, [])


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
def test_as_programs_and_spreadsheets_write_it(tmp_path, data):
    assert costs_of(tmp_path, data) == ({"B1": 2.5}, [])


@pytest.mark.parametrize(
    "line", ["B9,free", "B9,", "B9", ",3", "B9,-1", "B9,nan", "B9,inf", "B9,1e300", "B9,1_000", 'B9,"1,500"', 'B9,"3"x']
)
def test_a_bad_line_is_told_by_its_number_and_the_rest_is_taken(tmp_path, line):
    costs, said = costs_of(tmp_path, f"asin,unit_cost\nB1,1\n{line}\nB2,2\n")
    assert costs == {"B1": 1, "B2": 2}
    [told] = said
    assert told.startswith("--costs s3://w/costs.csv line 3: ")
    assert told.endswith("left out")


def test_a_line_that_ends_before_the_asin_is_told(tmp_path):
    costs, [told] = costs_of(tmp_path, "unit_cost,asin\n5\n1,B1\n")
    assert costs == {"B1": 1}
    assert "line 2: no ASIN" in told


def test_of_two_costs_the_first_holds_and_the_other_is_told(tmp_path):
    costs, said = costs_of(tmp_path, "asin,unit_cost\nB1,1\nB1,1.0\nB1,2\n")
    assert costs == {"B1": 1}
    assert said == ["--costs s3://w/costs.csv line 4: B1 has another cost above; left out"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("asin,cost\nB1,1\n", "has no column unit_cost"),
        ("sku,cost\nB1,1\n", "has no column asin and no column unit_cost"),
        ("", "is empty"),
        ("asin,unit_cost\n", "has no usable line"),
        ("asin,unit_cost\nB1,free\n", "has no usable line"),
        (b"PK\x03\x04 and more", "is a workbook; save it as CSV"),
    ],
)
def test_a_file_of_no_use_is_wrong_usage(tmp_path, data, message):
    with pytest.raises(UsageError, match=f"^--costs s3://w/costs.csv {message}"):
        costs_of(tmp_path, data)


def test_a_file_that_is_not_there_is_wrong_usage(tmp_path):
    with pytest.raises(UsageError, match=r"--costs gone\.csv cannot be read: No such file"):
        read_costs(tmp_path / "gone.csv", "gone.csv", print)
