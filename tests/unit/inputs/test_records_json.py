"""JSON records: the quantity, notes, and reasons why a record is invalid."""

import json

import pytest

from reconcile.inputs.records_json import InvalidRecord, parse_abid_record
from tests.conftest import abid_record


def test_complete_record_is_parsed():
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


def test_record_of_an_empty_bin_is_valid():
    record = parse_abid_record(b'{"BIN_FCSKU_DATA": {}, "EXPECTED_QUANTITY": 0}')
    assert (record.expected_quantity, record.items, record.note) == (0, [], None)


def test_items_that_differ_from_expected_quantity_give_a_note():
    record = parse_abid_record(abid_record(5, B1=2, B2=2))
    assert record.expected_quantity == 5
    assert record.note == "the items add up to 4, but the record says 5"


def test_unreadable_items_are_noted_and_the_record_is_valid():
    data = {"BIN_FCSKU_DATA": {"B1": "?", "B2": {"quantity": "two", "weight": 3}}, "EXPECTED_QUANTITY": 0}
    record = parse_abid_record(json.dumps(data).encode())
    assert [(item["asin"], item["name"], item["quantity"], item["weight"]) for item in record.items] == [
        ("B2", None, None, None)
    ]
    assert record.note == "1 item could not be read"


def test_half_a_surrogate_pair_is_replaced_for_parquet():
    record = parse_abid_record(
        b'{"BIN_FCSKU_DATA": {"B": {"name": "half \\ud83d pair", "quantity": 1}}, "EXPECTED_QUANTITY": 1}'
    )
    record.items[0]["name"].encode()


def test_items_with_repeated_names_are_noted_and_left_out():
    data = b'{"EXPECTED_QUANTITY": 6, "BIN_FCSKU_DATA": {"A": {"quantity": 1, "quantity": 2}, "B": {"quantity": 1}, '
    record = parse_abid_record(data + b'"B": {"quantity": 2}, "C": {"quantity": 3, "asin": "C"}}}')
    assert [item["asin"] for item in record.items] == ["C"]
    assert record.note == "the items add up to 3, but the record says 6; 2 items could not be read"


@pytest.mark.parametrize("text", ["3", "3.0", "3e0", '"3"', '" 3 "', '"3.0"', '"\u0663"', '"\uff13"', '"3\u00a0"'])
def test_whole_number_in_any_form_is_accepted(text):
    assert parse_abid_record(f'\ufeff{{"EXPECTED_QUANTITY": {text}}}'.encode()).expected_quantity == 3


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"quantity: 3", "not JSON"),
        (b'{"EXPECTED_QUANTITY": 3', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff\xfe{\x00}\x00", "not UTF-8"),
        (b"[3]", "not a JSON object"),
        (b'{"BIN_FCSKU_DATA": {}}', "EXPECTED_QUANTITY is missing"),
        (abid_record(None), "not a number: null"),
        (abid_record("many"), "not a number: 'many'"),
        (abid_record(True), "not a number: true"),
        (abid_record([3]), "not a number"),
        (abid_record("1_000"), "not a number: '1_000'"),
        (abid_record("3 pcs"), "not a number: '3 pcs'"),
        (abid_record("1.000"), "either 1 or 1000: '1.000'; write it as a JSON number"),
        (abid_record("\ud83d"), "not a number: '.ud83d'"),
        (b'{"EXPECTED_QUANTITY": 3, "EXPECTED_QUANTITY": 5}', "EXPECTED_QUANTITY occurs several times"),
        (b'{"EXPECTED_QUANTITY": 3, "\\u0045XPECTED_QUANTITY": 5}', "EXPECTED_QUANTITY occurs several times"),
        (abid_record(-1), "negative: -1"),
        (abid_record(2.5), "fractional: 2.5"),
        (abid_record(float("nan")), "not a count"),
        (abid_record(10**30), "not a count"),
        (b'{"EXPECTED_QUANTITY": ' + b"9" * 5000 + b"}", "not JSON"),
    ],
)
def test_invalid_record_raises_its_reason(data, reason):
    with pytest.raises(InvalidRecord, match=reason):
        parse_abid_record(data)
