"""Fuzz tests of quantities: a number is read as its writer meant it, or refused with a reason."""

import json
import math
from decimal import Decimal

from reconcile.inputs.quantities import MAX_COUNT, InvalidNumber, parse_count, parse_number
from reconcile.inputs.records_json import InvalidRecord, parse_abid_record
from tests.fuzz.inputs import changed, corpus, fuzz

CHARACTERS = "0123456789.,eE+- '\"=_/%xXnaif\u0663\u0f33\u00b2½Ⅷ\u2212\uff0c\u066b\0"
WRAPPINGS = ("{}", " {} ", "+{}", "'{}", '="{}"', "\ufeff{}", "{}\u00a0")
MARKS = {"point": ".", "comma": ","}
_FULL_WIDTH, _ARABIC = (str.maketrans("0123456789", digits) for digits in ("０１２３４５６７８９", "٠١٢٣٤٥٦٧٨٩"))
_GROUP_MARKS = {"point": ", '’\u00a0\u202f\u2009", "comma": ". '’\u00a0\u202f\u2009"}


def write_number(random):
    """Return a number, the decimal mark of its column, and one way to write it."""
    mark, places = random.choice(list(MARKS)), random.randrange(5)
    number = Decimal(random.randrange(10 ** random.randrange(1, 10)) * random.choice((1, 1000))).scaleb(-places)
    whole, _, fraction = f"{number:f}".partition(".")
    if random.random() < 0.5:
        whole = f"{int(whole):,}".replace(",", random.choice(_GROUP_MARKS[mark]))
    text = whole + (MARKS[mark] + fraction if fraction else "")
    text = text.translate(random.choice([{}, {}, _FULL_WIDTH, _ARABIC]))
    return number, mark, random.choice(WRAPPINGS).format(text)


def write_whole_number(random):
    """Return a number of items, and one way to write it that every reader knows."""
    number = random.randrange(MAX_COUNT + 1) // 10 ** random.randrange(16)
    return number, random.choice(("{}", "{}.0", "{}.00", " {}")).format(number)


def any_value(random, depth=2):
    """Return a value that JSON can express, and some that only Python's reader accepts."""
    kinds = [None, True, False, random.randrange(-3, 99), random.random() * 9, 2.0, -1, 10**400, math.nan, math.inf]
    kinds += ["", "3", "x\ud800", "\0", str(random.randrange(10**6))]
    if depth and random.random() < 0.5:
        values = [any_value(random, depth - 1) for _ in range(random.randrange(4))]
        return random.choice([values, {str(index): value for index, value in enumerate(values)}])
    return random.choice(kinds)


def any_digits(random):
    """Return a text of characters that some program accepts in numbers."""
    return "".join(random.choices(CHARACTERS, k=random.randrange(12)))


def outcome(parse, *arguments):
    """Return what a parser returns, or None if it refuses the input."""
    try:
        return parse(*arguments)
    except (InvalidNumber, InvalidRecord):
        return None


@fuzz(4000, write_number)
def test_written_number_is_read_as_the_same_or_refused(written):
    number, mark, text = written
    assert outcome(parse_number, text, mark) in (number, None)
    assert outcome(parse_count, text, mark) in (number, None)
    # The reader does not know the mark, so it must not choose between two readings.
    assert outcome(parse_number, text) in (number, None)


@fuzz(1000, write_whole_number)
def test_plain_whole_number_is_always_read(written):
    number, text = written
    assert parse_count(text) == number
    assert parse_abid_record(json.dumps({"EXPECTED_QUANTITY": text}).encode()).expected_quantity == number


@fuzz(3000, any_digits)
def test_text_gives_its_own_digits_or_is_refused(text):
    for mark in (None, "point", "comma"):
        count = outcome(parse_count, text, mark)
        assert count is None or 0 <= count <= MAX_COUNT
        if count and "e" not in text.lower():
            digits = "".join(str(int(character)) for character in text if character.isdecimal())
            assert digits.lstrip("0").startswith(str(count))


@fuzz(2500, write_number)
def test_record_has_its_written_quantity_or_is_invalid(written):
    number, _, text = written
    record = outcome(parse_abid_record, json.dumps({"EXPECTED_QUANTITY": text}).encode())
    assert record is None or record.expected_quantity == number


@fuzz(800, lambda random: [any_value(random) for _ in range(3)])
def test_record_of_any_values_is_read_or_invalid(values):
    quantity, items, field = values
    item = {"asin": field, "name": field, "quantity": field, "height": field, "weight": {"value": field, "unit": field}}
    for some in (items, {"a": item, "b": items}):
        document = {"EXPECTED_QUANTITY": quantity, "BIN_FCSKU_DATA": some}
        record = outcome(parse_abid_record, json.dumps(document).encode())
        assert record is None or record.expected_quantity == (int(quantity) if isinstance(quantity, str) else quantity)


@fuzz(2000, changed(corpus("record-*")))
def test_damaged_record_is_read_or_invalid(data):
    record = outcome(parse_abid_record, data)
    assert record is None or 0 <= record.expected_quantity <= MAX_COUNT
