"""Records: what decides, what is noted, and what makes a record invalid."""

import json

import pytest

from reconcile.inputs.bin_ids import bin_id
from reconcile.inputs.records_json import InvalidRecord, parse_abid_record
from tests.conftest import abid_record


def test_a_record_in_full():
    document = {
        "BIN_FCSKU_DATA": {
            "B00A": {
                "asin": "B00A",
                "name": "Oil Filter",
                "normalizedName": "Filter",
                "quantity": 2,
                "height": {"unit": "IN", "value": 2.5},
                "length": {"unit": "IN", "value": 4},
                "width": {"unit": "IN", "value": 3.0},
                "weight": {"unit": "pounds", "value": 0.3},
            }
        },
        "EXPECTED_QUANTITY": 2,
    }
    record = parse_abid_record(json.dumps(document).encode())
    assert record.expected_quantity == 2
    assert record.note is None
    assert record.items == [
        {
            "asin": "B00A",
            "name": "Oil Filter",
            "quantity": 2,
            "length": {"value": 4.0, "unit": "IN"},
            "width": {"value": 3.0, "unit": "IN"},
            "height": {"value": 2.5, "unit": "IN"},
            "weight": {"value": 0.3, "unit": "pounds"},
        }
    ]


def test_an_empty_bin_is_a_record():
    record = parse_abid_record(b'{"BIN_FCSKU_DATA": {}, "EXPECTED_QUANTITY": 0}')
    assert (record.expected_quantity, record.items, record.note) == (0, [], None)


def test_expected_quantity_decides_and_the_difference_is_noted():
    record = parse_abid_record(abid_record(5, B1=2, B2=2))
    assert record.expected_quantity == 5
    assert record.note == "the items add up to 4, the record says 5"


def test_items_that_cannot_be_read_do_not_spoil_the_record():
    data = {"BIN_FCSKU_DATA": {"B1": "?", "B2": {"quantity": "two", "weight": 3}}, "EXPECTED_QUANTITY": 0}
    record = parse_abid_record(json.dumps(data).encode())
    assert [(item["asin"], item["name"], item["quantity"], item["weight"]) for item in record.items] == [
        ("B2", None, None, None)
    ]
    assert record.note == "1 item could not be read"


def test_names_that_parquet_cannot_hold_are_mended():
    record = parse_abid_record(
        b'{"BIN_FCSKU_DATA": {"B": {"name": "half \\ud83d pair", "quantity": 1}}, "EXPECTED_QUANTITY": 1}'
    )
    record.items[0]["name"].encode()


@pytest.mark.parametrize("text", ["3", "3.0", '"3"', '" 3 "'])
def test_ways_to_write_a_whole_number(text):
    assert parse_abid_record(f'\ufeff{{"EXPECTED_QUANTITY": {text}}}'.encode()).expected_quantity == 3


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"quantity: 3", "not JSON"),
        (b'{"EXPECTED_QUANTITY": 3', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff\xfe{\x00}\x00", "not UTF-8"),
        (b"[3]", "not an object"),
        (b'{"BIN_FCSKU_DATA": {}}', "EXPECTED_QUANTITY is missing"),
        (abid_record(None), "no number: null"),
        (abid_record("many"), "no number: 'many'"),
        (abid_record(True), "no number: true"),
        (abid_record([3]), "no number"),
        (abid_record(-1), "negative: -1"),
        (abid_record(2.5), "fractional: 2.5"),
        (abid_record(float("nan")), "no count"),
        (abid_record(10**30), "no count"),
        (b'{"EXPECTED_QUANTITY": ' + b"9" * 5000 + b"}", "not JSON"),
    ],
)
def test_what_makes_a_record_invalid(data, reason):
    with pytest.raises(InvalidRecord, match=reason):
        parse_abid_record(data)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("bin-images/00001.jpg", "00001"),
        ("1.jpg", "1"),
        ("metadata/pod 7/A-1.2.json", "A-1.2"),
        ("noending", "noending"),
        (".hidden", ".hidden"),
    ],
)
def test_the_bin_id_is_the_file_name_without_its_ending(key, expected):
    assert bin_id(key) == expected
