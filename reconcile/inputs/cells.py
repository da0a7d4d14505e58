"""Clean the cells of a table, as programs and spreadsheets leave them.

A spreadsheet reads 01600 as the number 1600, and 1-2 as a date. People guard ids against that: `="01600"`, `'01600`.
"""

from __future__ import annotations

import re
from datetime import date, time, timedelta
from decimal import Decimal

_BLANK = r"\s\x00-\x1f\x7f-\xa0\xad\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff"
_GUARDED = re.compile(rf"^'(?=[{_BLANK}]*[=+\-@＝＋－＠]|[\t\r\n])|(?<=[;\t\r\n])([{_BLANK}\"]*)'(?=[=+\-@＝＋－＠])")
_FORMULA = re.compile(r'\s*="((?:[^"]|"")*)"\s*')
_APOSTROPHE = re.compile(r"\s*'(?=\d)")
_NUMBER = re.compile(r"\s*[+-]?\d{1,3}(?:[.,]\d+)?[eE][+-]\d{1,3}\s*")
"""A number in exponent notation, with a sign, as spreadsheets and programs write it. 12E5 is an id."""
_MONTH = (
    "Jan|Feb|Mar|Mär|Mrz|Apr|May|Mai|June?|July?|Aug|Sept?|Oct|Okt|Nov|Dec|Dez|"
    "janv|févr|mars|avr|mai|juin|juil|août|sept|oct|nov|déc|ene|feb|mar|abr|may|jun|jul|ago|sep|dic"
)
"""Short names of months, in the case in which spreadsheets write them. 12-MAR is an id."""
_DATE = re.compile(
    rf"\s*(?:\d{{1,4}}(?:-|\. ?|/| )(?:{_MONTH})\.?(?:[-./ ]\d{{2,4}})?|(?:{_MONTH})\.?[-./ ]\d{{1,4}}"
    r"|(?:19|20)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])(?:[ T]\d\d:\d\d.*)?"
    r"|\d{1,2}([./])\d{1,2}\1(?:19|20)\d\d(?: \d\d?:\d\d.*)?)\s*"
)
_TOTAL = re.compile(
    r"\s*(?:(?:grand |sub[- ]?)?totals?|totals? general|total général|sum|summe|zwischensumme|gesamt(?:summe|ergebnis)?"
    r"|somme|sous-total|totale(?: complessivo)?|(?:eind|sub)?totaal|suma|razem|итого|всего"
    r"|合計|総計|小計|总计|合计|小计|합계)\s*[:=.]*\s*",
    re.IGNORECASE,
)
_SUBTOTAL = re.compile(r".+ (?:total|ergebnis|totale|totaal)\s*", re.IGNORECASE)
"""The form in which spreadsheets name the total of a group: `A-01 Total`."""
SUSPICIOUS = (
    r"^\s*['=]|\d[eE][+-]\d|^\s*\d{1,4}[-./ ]{1,2}[^\d\s][^\d]{2,4}|^\s*[^\d\s][^\d]{2,4}[-./ ]\d{1,4}\s*$"
    r"|^\s*(?:19|20)\d\d-\d\d-|[./](?:19|20)\d\d|(?i:tota|sum|ergebnis|somme|gesamt|razem|итого|всего|计|計|합)"
)
"""A regular expression (RE2) for all texts that `clean_id` may change or refuse, and for few others."""
MAX_FLOAT_ID = 2**53
"""The first integer above which a float64 does not hold every integer. Such an id may have lost its last digits."""
_MOST_SHOWN = 40
"""Characters of a cell that a message repeats."""


class InvalidId(ValueError):
    """A cell that was an id and is not one any more."""


class TotalsRow(InvalidId):
    """A cell that names a row of totals, and not a bin or a product."""


def unescape_formula(cell: str) -> str:
    """Remove the apostrophes with which `plain_text` of sql/macros.sql keeps a spreadsheet from running formulas."""
    text = cell.strip()
    return _GUARDED.sub(r"\1", text) if "'" in text else text


def unguard_id(text: str) -> str:
    """Remove the characters that guard an id against spreadsheets: `="01600"` and `'01600` become 01600."""
    guarded = _FORMULA.fullmatch(text)
    if guarded is not None:
        return guarded[1].replace('""', '"')
    return _APOSTROPHE.sub("", unescape_formula(text), count=1) if "'" in text else text


def clean_id(text: str) -> str:
    """Return an id as `unguard_id` does, and refuse a cell that is not an id any more.

    Raises:
        TotalsRow: the cell names a row of totals.
        InvalidId: a spreadsheet has turned the id into a number or a date.
    """
    text = unguard_id(text)
    if _NUMBER.fullmatch(text):
        raise InvalidId(f"a spreadsheet has turned this id into a number: {text.strip()}")
    if _DATE.fullmatch(text):
        raise InvalidId(f"a spreadsheet has turned this id into a date: {text.strip()[:_MOST_SHOWN]}")
    if is_total(text) or _SUBTOTAL.fullmatch(text):
        raise TotalsRow(f"this is a row of totals: {text.strip()[:_MOST_SHOWN]}")
    return text


def is_total(text: str) -> bool:
    """Return whether a text is a word for a total in one of the common languages."""
    return _TOTAL.fullmatch(text) is not None


def id_of_cell(cell: object, max_float: int = MAX_FLOAT_ID) -> str:
    """Return the id in a cell of any type. Whole floats become integers: pandas and workbooks hold ids as floats.

    Args:
        cell: the content of the cell.
        max_float: the integer above which floats of the cell's type do not hold every integer.

    Returns:
        the id, or empty text for an empty cell.

    Raises:
        TotalsRow: as for `clean_id`.
        InvalidId: as for `clean_id`. Or the cell is a date, or a number that may have lost digits.
    """
    if isinstance(cell, str):
        return clean_id(cell)
    if cell is None or (isinstance(cell, float | Decimal) and cell != cell):
        return ""
    if isinstance(cell, date | time | timedelta):
        raise InvalidId(f"a spreadsheet has turned this id into a date: {cell}")
    if isinstance(cell, float) and abs(cell) >= max_float:
        raise InvalidId(f"a spreadsheet has turned this id into a number: {cell!r}")
    return cell_text(cell)


def cell_text(cell: object) -> str:
    """Return the content of a cell of any type as text. Whole numbers have no decimals, and an empty cell is empty."""
    if isinstance(cell, str):
        return cell.encode("utf-8", "replace").decode()  # JSON can hold halves of surrogate pairs, but Arrow cannot
    if cell is None or (isinstance(cell, float | Decimal) and cell != cell):
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float | Decimal) and -MAX_FLOAT_ID < cell < MAX_FLOAT_ID and not cell % 1:
        return str(int(cell))
    return cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell)
