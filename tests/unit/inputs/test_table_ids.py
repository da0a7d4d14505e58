"""Bin ids of tables, as programs and spreadsheets leave them."""

import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.inputs.tables import FORMATS, load, write_table

NUMBER = "a spreadsheet has turned this id into a number: "
DATE = "a spreadsheet has turned this id into a date: "


@pytest.mark.parametrize("kind", FORMATS)
def test_guarded_and_padded_ids_are_unwrapped_in_every_format(tmp_path, kind):
    cells = ['="01600"', ' ="01600" ', "'01600", "01600 ", " 01600", "01600\u00a0", "\u200b01600", "\ufeff01600"]
    path = write_table(tmp_path, kind, [(cell, 1) for cell in cells])
    assert load(path) == [("01600", 1, None)] * len(cells)


@pytest.mark.parametrize("kind", FORMATS)
def test_rewritten_ids_make_invalid_rows_in_every_format(tmp_path, kind):
    reasons = {
        "1.60E+03": NUMBER + "1.60E+03",
        "1,60E+03": NUMBER + "1,60E+03",
        "2024-01-02": DATE + "2024-01-02",
        "12-Mar": DATE + "12-Mar",
        "#N/A": "the formula in this cell has failed: #N/A",
        "#REF!": "the formula in this cell has failed: #REF!",
        "NULL": "the bin id is missing",
        "nan": "the bin id is missing",
        " ": "the bin id is missing",
    }
    path = write_table(tmp_path, kind, [("01600", 7), *((cell, 1) for cell in reasons)])
    assert load(path, aggregate=None) == [("01600", 7, None), *((None, None, reason) for reason in reasons.values())]


@pytest.mark.parametrize("kind", FORMATS)
def test_ids_that_only_look_odd_are_kept(tmp_path, kind):
    cells = ["12E5", "1-2", "12-MAR", "5'7", "#1", "1.6", "TRUE", "Total-1", "ＡＢ", "nano", "a\tb"]
    assert [row[0] for row in load(write_table(tmp_path, kind, [(cell, 1) for cell in cells]))] == cells


def test_typed_ids_of_a_workbook_are_read_or_refused(tmp_path):
    cells = {
        1600: ("1600", 1, None),
        1601.0: ("1601", 1, None),
        1600.5: ("1600.5", 1, None),
        dt.date(2024, 1, 2): (None, None, DATE + "2024-01-02"),
        "5'7": ("5'7", 1, None),
        1e17: (None, None, NUMBER + "1e+17"),
    }
    path = write_table(tmp_path, "xlsx", [*((cell, 1) for cell in cells), (True, 1)])
    assert load(path) == [*cells.values(), (None, None, "an id is text or a number: True")]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (pa.array([1600, None, -1]), ["1600", None, "-1"]),
        (pa.array([1600.0, float("nan"), None]), ["1600", None, None]),
        (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
        (pa.array([1600.0, 2.0**25], pa.float32()), ["1600", None]),
        (pa.array([7.0], pa.float16()), ["7"]),
        (pa.array(["a", "a"]).dictionary_encode(), ["a", "a"]),
        (pa.array([b"01600", b"\xff1"]), ["01600", "\ufffd1"]),
        (pa.array([True]), [None]),
        (pa.array([["a"]]), [None]),
        (pa.array([{"a": 1}]), [None]),
        (pa.nulls(1), [None]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_ids_of_every_type_in_parquet_are_read_or_refused(tmp_path, ids, expected):
    pq.write_table(pa.table({"bin_id": ids, "expected_quantity": [1] * len(ids)}), tmp_path / "stock.parquet")
    rows = load(tmp_path / "stock.parquet")
    assert [row[0] for row in rows] == expected
    assert all((bin_id is None) == (reason is not None) for bin_id, _, reason in rows)


def test_odd_values_in_json_lines_break_only_their_rows(tmp_path):
    lines = {
        '{"bin_id": 1600, "expected_quantity": 1}': ("1600", 1, None),
        '{"bin_id": 1601.0, "expected_quantity": 1e2}': ("1601", 100, None),
        '{"bin_id": false, "expected_quantity": 1}': (None, None, "an id is text or a number: False"),
        '{"bin_id": ["a"], "expected_quantity": 1}': (None, None, "an id is text or a number: ['a']"),
        '{"bin_id": "\\ud83d", "expected_quantity": 1}': ("?", 1, None),
        '{"bin_id": "w", "expected_quantity": "\\ud83d"}': ("w", None, "the expected quantity is not a number: ?"),
        '{"bin_id": null, "expected_quantity": 1}': (None, None, "the bin id is missing"),
        '{"expected_quantity": 1}': (None, None, "the bin id is missing"),
    }
    (tmp_path / "stock.jsonl").write_text("\n".join(lines))
    assert load(tmp_path / "stock.jsonl") == list(lines.values())
