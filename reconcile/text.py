"""Numbers in sentences: plurals and percentages."""

from __future__ import annotations


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
