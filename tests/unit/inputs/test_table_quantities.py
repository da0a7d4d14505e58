"""Quantities of tables. One parser reads those of all formats."""

import decimal
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reconcile.errors import UsageError
from reconcile.inputs.table_options import TableOptions
from tests.unit.inputs.tables import FORMATS, TEXT_FORMATS, load, load_with_notes, write_table

PREFIX = "the expected quantity is "
TEXTS = {
    "4": 4, "4.0": 4, " 4 ": 4, "+4": 4, "4.": 4, "-0": 0, "0": 0, '="4"': 4, "'4": 4, "\u200b4\u00a0": 4, "4\x00": 4,
    "1 000": 1000, "1\u00a0000": 1000, "1\u202f000": 1000, "1\u2009000": 1000, "1\u2007000": 1000, "1'000": 1000,
    "1\u2019000": 1000, "1,234.0": 1234, "1,000,000": 1_000_000, "٤": 4, "４": 4, "٤٬٠٠٠": 4000, "1,23,456": 123456,
    "4 pcs": "not a number: 4 pcs", "1_000": "not a number: 1_000", "50%": "not a number: 50%",
    "1e3": "rounded by a spreadsheet: 1e3", "1.2E+03": "rounded by a spreadsheet: 1.2E+03", "1.6E+01": 16,
    "-1": "negative: -1", "4.5": "fractional: 4.5", "٤٫٥": "fractional: ٤٫٥", "NaN": "not a count: NaN",
    "inf": "not a count: inf", "1e300": "not a count: 1e300", "9" * 20: "not a count: " + "9" * 20, "": "missing",
    "\u00a0": "missing", "true": "not a number: true", "½": "not a number: ½",
    "4,0": "not a number with a decimal point: 4,0",
}  # fmt: skip
"""Texts with their quantity, or the end of their reason, in a column with a decimal point."""


@pytest.mark.parametrize("kind", FORMATS)
def test_text_has_the_same_quantity_in_every_format(tmp_path, kind):
    texts = [text for text in TEXTS if not (kind == "xlsx" and "\x00" in text)]  # XML cannot hold it
    rows = load(write_table(tmp_path, kind, [(f"b{number}", text) for number, text in enumerate(texts)]), None, "point")
    for text, (_, quantity, reason) in zip(texts, rows, strict=True):
        expected = TEXTS[text]
        assert (quantity, reason) == ((expected, None) if isinstance(expected, int) else (None, PREFIX + expected))


@pytest.mark.parametrize(
    ("quantities", "expected"),
    [
        (pa.array([math.nan, math.inf, 1e300, -0.0, 4.0, 2.5, None]), [None, None, None, 0, 4, None, None]),
        (pa.array([4.0, math.nan], pa.float16()), [4, None]),
        (pa.array([4.0, 2.5], pa.float32()), [4, None]),
        (pa.array([2**63 + 5, 3], pa.uint64()), [None, 3]),
        (pa.array([-1, 2**60, 3]), [None, None, 3]),
        (pa.array([255, None], pa.uint8()), [255, None]),
        (pa.array([decimal.Decimal("4.00"), decimal.Decimal("4.50")]), [4, None]),
        (pa.array([b"7", b"\xff"]), [7, None]),
        (pa.array(["7", "x"]).dictionary_encode(), [7, None]),
        (pa.array([True]), [None]),
        (pa.array([[1]]), [None]),
        (pa.nulls(1), [None]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_numbers_of_every_type_in_parquet_are_read_or_refused(tmp_path, quantities, expected):
    ids = [f"b{number}" for number in range(len(quantities))]
    pq.write_table(pa.table({"bin_id": ids, "expected_quantity": quantities}), tmp_path / "stock.parquet")
    rows = load(tmp_path / "stock.parquet")
    assert [row[:2] for row in rows] == list(zip(ids, expected, strict=True))
    assert all((quantity is None) == (reason is not None) for _, quantity, reason in rows)


def test_typed_cells_of_a_workbook_are_read_or_refused(tmp_path):
    cells = [7, 7.0, -0.0, "7", "7 ", 7.5, True, 1e300, -1, None]
    rows = load(write_table(tmp_path, "xlsx", [(f"b{number}", cell) for number, cell in enumerate(cells)]))
    assert [row[1] for row in rows] == [7, 7, 0, 7, 7, None, None, None, None, None]
    assert [row[2].removeprefix(PREFIX) for row in rows[5:]] == [
        "fractional: 7.5", "not a number: True", "not a count: 1e+300", "negative: -1.0", "missing",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("text", ["1.000", "1,000", "12,345"])
def test_quantity_with_two_readings_is_refused_in_every_format(tmp_path, kind, text):
    path = write_table(tmp_path, kind, [("a", "7"), ("b", text)])
    small, large = text.replace(",", "."), text.replace(",", "").replace(".", "")
    with pytest.raises(UsageError, match=rf"is either {float(small):g} or {large}: .*--records-decimal comma or"):
        load(path)
    expected = {"comma": "," in text, "point": "." in text}
    for mark, is_decimal in expected.items():
        fraction = None if float(small) % 1 else int(float(small))
        assert load(path, decimal=mark)[1][1] == (fraction if is_decimal else int(large))


@pytest.mark.parametrize(
    ("others", "text", "quantity", "why"),
    [
        (["4,0"], "1.000", 1000, "because of 4,0"),
        (["4.0"], "1,000", 1000, "because of 4.0"),
        (["4.0"], "1.000", 1, "because of 4.0"),
        (["1.000.000"], "2.000", 2000, "because of 1.000.000"),
    ],
)
@pytest.mark.parametrize("kind", TEXT_FORMATS)
def test_other_quantities_decide_the_decimal_mark(tmp_path, kind, others, text, quantity, why):
    path = write_table(tmp_path, kind, [("a", text), *((f"b{cell}", cell) for cell in others)])
    rows, notes = load_with_notes(path, TableOptions())
    assert rows[0] == ("a", quantity, None)
    assert any(why in note for note in notes)


@pytest.mark.parametrize(
    ("texts", "quantities", "why"),
    [(["7,000", "3,000"], [7, 3], "semicolons separate the cells"), (["7,000", "4,0"], [7, 4], "of 4,0")],
)
def test_comma_between_semicolons_is_the_decimal_comma(tmp_path, texts, quantities, why):
    lines = [f"b{number};{text}" for number, text in enumerate(texts)]
    (tmp_path / "stock.csv").write_text("\n".join(["bin_id;expected_quantity", *lines]))
    rows, notes = load_with_notes(tmp_path / "stock.csv", TableOptions())
    assert [row[1] for row in rows] == quantities
    assert notes == [f"--records stock.csv: a comma in quantities is the decimal comma, because {why}"]


def test_semicolon_file_with_both_marks_is_refused(tmp_path):
    (tmp_path / "stock.csv").write_text("bin_id;expected_quantity\n01600;7,000\n01601;4.5\n")
    with pytest.raises(UsageError, match="--records-decimal"):
        load(tmp_path / "stock.csv")
