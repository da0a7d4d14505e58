"""Clean the cells of a table, as programs and spreadsheets leave them.

A spreadsheet reads 01600 as the number 1600, and 1-2 as a date. People guard ids against that: `="01600"`, `'01600`.
"""

from __future__ import annotations

import re
from datetime import date, time, timedelta
from decimal import Decimal

_BLANK_RANGES = (
    (0x00, 0x20), (0x7F, 0xA0), (0xAD, 0xAD), (0x1680, 0x1680), (0x180E, 0x180E), (0x2000, 0x200F), (0x2028, 0x202F),
    (0x205F, 0x206F), (0x3000, 0x3000), (0xFEFF, 0xFEFF),
)  # fmt: skip
BLANKS = "".join(chr(code) for first, last in _BLANK_RANGES for code in range(first, last + 1))
"""Spaces, control characters and invisible characters."""
_BLANK = "".join(
    rf"\x{first:02x}-\x{last:02x}" if last < 0x100 else f"{chr(first)}-{chr(last)}" for first, last in _BLANK_RANGES
)
"""The same characters inside a class of a regular expression, in Python and RE2."""
_GUARDED = re.compile(rf"^'(?=[{_BLANK}]*[=+\-@＝＋－＠]|[\t\r\n])|(?<=[;\t\r\n])([{_BLANK}\"]*)'(?=[=+\-@＝＋－＠])")
_FORMULA = re.compile(r'\s*="((?:[^"]|"")*)"\s*')
_APOSTROPHE = re.compile(r"^\s*'(?=\d)")
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
    r"\s*(?:(?:grand |sub[- ]?)?totals?(?: (?:of|for|bins|items|quantity|qty|units)\b.*)?"
    r"|totals? general|total général|sum|summe|zwischensumme|gesamt(?:summe|ergebnis)?"
    r"|somme|sous-total|totale(?: complessivo)?|(?:eind|sub)?totaal|suma|razem|итого|всего"
    r"|合計|総計|小計|总计|合计|小计|합계)\s*(?:[:=.]*\s*|[:(].*)",
    re.IGNORECASE,
)
_SUBTOTAL = re.compile(r".+ (?:total|ergebnis|totale|totaal)\s*", re.IGNORECASE)
"""The form in which spreadsheets name the total of a group: `A-01 Total`."""
_ERROR = re.compile(
    r"\s*#(?:N/A|N/D|NV|REF!|BEZUG!|VALUE!|VALEUR!|WERT!|NAME\?|NOM\?|DIV/0!|NULL!|NUM!|ZAHL!|SPILL!|CALC!)\s*",
    re.IGNORECASE,
)
"""A formula that failed, as spreadsheets in English, German, French and Spanish show it."""
_NOTHING = re.compile(r"\s*(?:\(?null\)?|<na>|n/a|nan|nat|none|<null>|\\N)\s*", re.IGNORECASE)
"""A missing value, as databases and programs write it."""
SUSPICIOUS = (
    r"^\s*['=#<(\\]|(?i:^\s*(?:null|n/a|nan|nat|none)\s*$)"
    r"|\d[eE][+-]\d|^\s*\d{1,4}[-./ ]{1,2}[^\d\s][^\d]{2,4}|^\s*[^\d\s][^\d]{2,4}[-./ ]\d{1,4}\s*$"
    r"|^\s*(?:19|20)\d\d-\d\d-|[./](?:19|20)\d\d|(?i:tota|sum|ergebnis|somme|gesamt|razem|итого|всего|计|計|합)"
    rf"|^[{_BLANK}]|[{_BLANK}]$"
)
"""A regular expression (RE2) for all texts that `clean_id` may change or refuse, and for few others."""
MAX_FLOAT_ID = 2**53
"""The first integer above which a float64 does not hold every integer. Such an id may have lost its last digits."""
_MOST_SHOWN = 40
"""Characters of a cell that a message repeats."""


class InvalidId(ValueError):
    """A cell that is not an id, or not one any more."""


class TotalsRow(InvalidId):
    """A cell that names a row of totals, and not a bin or a product."""


def trim(text: str) -> str:
    """Remove spaces, control characters and invisible characters from both ends of a text."""
    return text.strip(BLANKS)


def unescape_formula(cell: str) -> str:
    """Remove the apostrophes with which `plain_text` of sql/macros.sql keeps a spreadsheet from running formulas."""
    text = trim(cell)
    return _GUARDED.sub(r"\1", text) if "'" in text else text


def unguard_id(text: str) -> str:
    """Remove the characters that guard an id against spreadsheets: `="01600"` and `'01600` become 01600."""
    guarded = _FORMULA.fullmatch(text)
    if guarded is not None:
        return guarded[1].replace('""', '"')
    return _APOSTROPHE.sub("", unescape_formula(text), count=1) if "'" in text else text


def clean_id(text: str) -> str:
    """Return an id as `unguard_id` does, without spaces around it, and refuse a cell that is not an id any more.

    A word for a missing value, such as NULL, becomes empty text.

    Raises:
        TotalsRow: the cell names a row of totals.
        InvalidId: a spreadsheet has turned the id into a number or a date. Or the formula in the cell has failed.
    """
    text = trim(unguard_id(trim(text)))
    if _ERROR.fullmatch(text):
        raise InvalidId(f"the formula in this cell has failed: {text}")
    if _NOTHING.fullmatch(text):
        return ""
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
        InvalidId: as for `clean_id`. Or the cell is a date, a truth value or a list, or a number that may have lost
            digits.
    """
    if isinstance(cell, str | bytes):
        return clean_id(cell_text(cell))
    if cell is None or (isinstance(cell, float | Decimal) and cell != cell):
        return ""
    if isinstance(cell, date | time | timedelta):
        raise InvalidId(f"a spreadsheet has turned this id into a date: {cell}")
    if isinstance(cell, bool | list | tuple | dict):
        raise InvalidId(f"an id is text or a number: {str(cell)[:_MOST_SHOWN]}")
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
