"""Parse numbers as people, programs and spreadsheets write them. Every file format uses these rules.

A cell such as `1.000` may mean 1 or 1000. Such a cell is ambiguous until the decimal mark of its column is known. The
user may state the mark. Otherwise the other cells of the column decide, or semicolons between the cells
(`decide_mark`).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING

from reconcile.inputs.cells import trim, unguard_id

if TYPE_CHECKING:
    from reconcile.setting_types import DecimalMark


MAX_COUNT = 2**53
"""The largest number up to which a float64 holds every integer."""
_MOST_SHOWN = 40
"""Characters of a cell that a message repeats."""
_MOST_CHARACTERS = 400
"""A longer text is not parsed, because nobody writes such numbers."""
_TRANSLATED = str.maketrans({"\u2212": "-", "\uff0d": "-", "\uff0b": "+", "\uff0c": ",", "\uff0e": ".", "\u066b": "."})
"""Minus signs, full-width signs and marks, and the Arabic decimal mark."""
_SPACED = re.compile(r"([+-]?\d{1,3})((?:[ \u00a0\u2007\u2008\u2009\u202f'\u2019\u066c]\d{3})+)([.,]\d+)?")
"""Groups of three digits, separated by spaces or apostrophes. No country uses these as a decimal mark."""
_WORDS = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
_EXPONENT = re.compile(r"[+-]?(\d*)(?:[.,](\d*))?[eE]([+-]?\d{1,4})")


class Form(Enum):
    """The form in which a number is written. A form may decide the decimal mark of its column."""

    PLAIN = r"\d+"
    COMMA_GROUPS = r"\d{1,3}(?:,\d{2,3})+,\d{3}|\d{1,3}(?:,\d{2,3})*,\d{3}\.\d*"
    POINT_GROUPS = r"\d{1,3}(?:\.\d{3}){2,}|\d{1,3}(?:\.\d{3})+,\d*"
    AMBIGUOUS_COMMA = r"[1-9]\d{0,2},\d{3}"
    AMBIGUOUS_POINT = r"[1-9]\d{0,2}\.\d{3}"
    DECIMAL_COMMA = r"\d+,\d+"
    DECIMAL_POINT = r"\d+\.\d*|\.\d+"


_FORMS = re.compile("[+-]?(?:" + "|".join(f"(?P<{form.name}>{form.value})" for form in Form) + ")")
"""The forms in the order in which they are tried."""
_MARKS: dict[Form, DecimalMark] = {
    Form.COMMA_GROUPS: "point",
    Form.DECIMAL_POINT: "point",
    Form.POINT_GROUPS: "comma",
    Form.DECIMAL_COMMA: "comma",
}
"""The decimal mark of each form that has only one reading."""
_AMBIGUOUS = {Form.AMBIGUOUS_COMMA: ",", Form.AMBIGUOUS_POINT: "."}


class InvalidNumber(ValueError):
    """A cell that cannot be used as a number.

    Args:
        problem: the end of a sentence that begins with "the cell is": `not a number`.
        cell: the content of the cell.
    """

    def __init__(self, problem: str, cell: object) -> None:
        self.problem, self.cell = problem, cell
        super().__init__(f"{problem}: {str(cell)[:_MOST_SHOWN]}")


class AmbiguousNumber(InvalidNumber):
    """A number that has another value with a decimal comma than with a decimal point."""

    def __init__(self, cell: str) -> None:
        small, large = _plain(cell).replace(",", "."), re.sub("[.,]", "", _plain(cell))
        super().__init__(f"either {float(small):g} or {large}", cell)


def parse_number(cell: object, mark: DecimalMark | None = None) -> Decimal:
    """Return the number in a cell, without rounding. It may be infinite or not a number.

    - Digits of any script are accepted, and so are spaces and apostrophes between groups of three digits.
    - Without `mark`, a number is accepted if it has only one reading: 3,5 and 1,234.50, but not 3,500.
    - An exponent is accepted if no digit can be missing: 1.6E+01, but not 1.60E+03.

    Args:
        cell: the content of the cell: text, or a number of a typed format.
        mark: the decimal mark of the column, if it is known.

    Raises:
        AmbiguousNumber: the text has two readings, and `mark` is not known.
        InvalidNumber: the cell is not a number.
    """
    if isinstance(cell, int | float | Decimal) and not isinstance(cell, bool):
        return Decimal(cell)
    if not isinstance(cell, str):
        raise InvalidNumber("not a number", cell)
    text = _plain(cell)
    if len(text) > _MOST_CHARACTERS:
        raise InvalidNumber("not a number", cell)
    if _WORDS.fullmatch(text):
        return Decimal(text)
    exponent = _EXPONENT.fullmatch(text)
    if exponent is not None:
        return _parse_exponent(exponent, cell)
    form = _form(text)
    if form is None:
        raise InvalidNumber("not a number", cell)
    if form in _AMBIGUOUS and mark is None:
        raise AmbiguousNumber(cell)
    decimal = _MARKS.get(form, mark)
    if mark is not None and decimal != mark:
        raise InvalidNumber(f"not a number with a decimal {mark}", cell)
    return Decimal(text.replace(".", "").replace(",", ".") if decimal == "comma" else text.replace(",", ""))


def parse_count(cell: object, mark: DecimalMark | None = None) -> int:
    """Return the number in a cell as a whole number of items, 0 or more. For example, `3`, `3.0` and `"3"` are all 3.

    Args:
        cell: the content of the cell: text, or a number of a typed format.
        mark: the decimal mark of the column, if it is known.

    Raises:
        AmbiguousNumber: as for `parse_number`.
        InvalidNumber: the cell is not a whole number from 0 to `MAX_COUNT`.
    """
    if type(cell) is int and 0 <= cell <= MAX_COUNT:  # most cells of JSON, and no truth values
        return cell
    number = parse_number(cell, mark)
    if number.is_nan() or number.copy_abs() > MAX_COUNT:
        raise InvalidNumber("not a count", cell)
    if number < 0:
        raise InvalidNumber("negative", cell)
    if number != int(number):
        raise InvalidNumber("fractional", cell)
    return int(number)


def is_blank(cell: object) -> bool:
    """Return whether a cell is empty, or has only spaces."""
    return cell is None or (isinstance(cell, str) and not trim(cell))


@dataclass
class NumberForms:
    """The forms of the numbers in the rows of one column that have been read, each with its first example."""

    examples: dict[Form, tuple[int, str]] = field(default_factory=dict)
    """The line and the text of the first cell in each form."""

    def add(self, line: int, cell: object) -> None:
        """Add the form of the number in a cell. Cells without a number are ignored."""
        if isinstance(cell, str) and not _EXPONENT.fullmatch(text := _plain(cell)):
            form = _form(text)
            if form is not None and form is not Form.PLAIN:
                self.examples.setdefault(form, (line, cell.strip()[:_MOST_SHOWN]))

    @property
    def ambiguous(self) -> tuple[int, str] | None:
        """The first cell with two readings, or None."""
        return min((self.examples[form] for form in _AMBIGUOUS if form in self.examples), default=None)

    def example(self, mark: DecimalMark) -> str | None:
        """Return the first cell that can only be read with this decimal mark, or None."""
        cells = [self.examples[form] for form, of_form in _MARKS.items() if of_form == mark and form in self.examples]
        return min(cells)[1] if cells else None


def decide_mark(forms: NumberForms, delimiter: str | None = None) -> tuple[DecimalMark | None, str | None]:
    """Decide how to read the ambiguous numbers of a column.

    Args:
        forms: the forms of the numbers in the column.
        delimiter: the separator between the cells of the file; None if the file has none.

    Returns:
        the decimal mark, or None if cells contradict each other or nothing decides; and the reason, as text after
        `because`.
    """
    comma, point = forms.example("comma"), forms.example("point")
    by_semicolon = delimiter == ";" and Form.AMBIGUOUS_COMMA in forms.examples
    if comma is not None and point is None:
        return "comma", f"of {comma}"
    if point is not None and comma is None:
        return (None, None) if by_semicolon else ("point", f"of {point}")
    if by_semicolon and comma is None:
        return "comma", "semicolons separate the cells"
    return None, None


def _plain(text: str) -> str:
    """Return a text without spaces around it, with ASCII digits and marks, and without spaces between digits."""
    text = trim(unguard_id(text) if "'" in text or '"' in text else text)
    if not text.isascii():
        text = "".join(_as_ascii_digit(character) for character in text.translate(_TRANSLATED))
    grouped = _SPACED.fullmatch(text)
    if grouped is None:
        return text
    sign_and_digits = grouped[1] + re.sub(r"\D", "", grouped[2])
    if grouped[3] is None:
        return sign_and_digits
    # With one more zero, the text does not look as if its last three digits could be a group.
    return f"{sign_and_digits}{grouped[3]}0"


def _as_ascii_digit(character: str) -> str:
    return str(unicodedata.decimal(character, character))


def _form(text: str) -> Form | None:
    match = _FORMS.fullmatch(text)
    if match is None:
        return None
    name = match.lastgroup
    assert name is not None
    return Form[name]


def _parse_exponent(match: re.Match[str], cell: str) -> Decimal:
    """Return a number in exponent notation.

    Raises:
        InvalidNumber: it may have lost digits. Spreadsheets write 1.23E+05 for 123456.
    """
    whole, fraction, exponent = match[1], match[2] or "", int(match[3])
    if not whole and not fraction:
        raise InvalidNumber("not a number", cell)
    number = Decimal(match[0].replace(",", "."))
    if exponent > len(fraction) and number.copy_abs() <= MAX_COUNT:
        raise InvalidNumber("rounded by a spreadsheet", cell)
    return number
