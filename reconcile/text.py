"""Numbers in texts: plurals, percentages and the order of ids with numbers in them."""

from __future__ import annotations

import re

_LONGEST_NUMBER = 20
"""The number of digits that numbers in ids are padded to."""


def plural(number: int, noun: str, nouns: str | None = None) -> str:
    """Return a number with its noun, such as `1 photo` or `2,000 photos`.

    Args:
        number: how many there are.
        noun: the singular.
        nouns: the plural, unless it is the singular with an s.
    """
    return f"{number:,} {noun if number == 1 else nouns or f'{noun}s'}"


def percent(fraction: float | None) -> str:
    """Return a fraction as a percentage with one decimal, such as `68.9%`; a dash for None."""
    return "–" if fraction is None else f"{fraction:.1%}"


def exact_percent(fraction: float) -> str:
    """Return a limit as a person would set it: `5%` for 0.05, `0.04%` for 0.0004."""
    return f"{100 * fraction:.6g}%"


def natural_order(bin_id: str) -> str:
    """Return a sort key that orders numbers by value, so that A-9 comes before A-10."""
    return re.sub(r"[0-9]+", lambda match: match[0].zfill(_LONGEST_NUMBER), bin_id)
