"""Numbers in sentences, and the first line of an error."""

import pytest

from reconcile.errors import first_line
from reconcile.text import exact_percent, percent, plural


@pytest.mark.parametrize(
    ("number", "nouns", "expected"),
    [(0, None, "0 photos"), (1, None, "1 photo"), (2, None, "2 photos"), (2000, "photo files", "2,000 photo files")],
)
def test_plural_follows_the_number(number, nouns, expected):
    assert plural(number, "photo", nouns) == expected


def test_percent_has_one_decimal_and_a_dash_for_none():
    assert (percent(0.689), percent(1.0), percent(None)) == ("68.9%", "100.0%", "–")


@pytest.mark.parametrize(("limit", "expected"), [(0.05, "5%"), (0.0004, "0.04%"), (1, "100%")])
def test_exact_percent_shows_a_limit_as_set(limit, expected):
    assert exact_percent(limit) == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [("one\ntwo", "one"), ("\n one", "one"), ("", "ValueError"), ("x" * 400, "x" * 300)],
    ids=["two lines", "blank first line", "no message", "long"],
)
def test_first_line_returns_a_short_text(message, expected):
    assert first_line(ValueError(message)) == expected
