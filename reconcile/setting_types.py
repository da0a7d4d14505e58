"""Types of settings: which values a setting accepts, and how text becomes a value."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

Device = Literal["auto", "cpu", "cuda", "tensorrt"]
EngineName = Literal["local", "ray", "sagemaker"]
RankBy = Literal["probability", "units", "value"]
RecountFormat = Literal["csv", "jsonl", "both"]
Aggregate = Literal["sum", "same"]
"""The treatment of several rows of a bin: add them up, or accept rows that agree as one record."""
DecimalMark = Literal["comma", "point"]
"""The character between a whole number and its fraction."""
_DECIMAL_MARKS = {",": "comma", ".": "point"}
_TABLE_COLUMNS = ("bin_id", "expected_quantity", "changed_at", "product_id", "product_name", "product_quantity")


def _fraction(value: Any) -> Any:
    """Return `5%` or `0.05` as 0.05."""
    try:
        text = str(value).strip()
        fraction = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        fraction = -1.0
    if not 0 <= fraction <= 1:
        raise ValueError("expected 0% to 100%, such as 5% or 0.05")
    return fraction


def _parse_columns(value: Any) -> Any:
    """Return `bin_id=LOCATION,expected_quantity=QTY` as a dictionary."""
    if not isinstance(value, str):
        return value
    pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
    if any(not separator or not column.strip() for _, separator, column in pairs):
        raise ValueError("expected bin_id=COLUMN,expected_quantity=COLUMN,changed_at=COLUMN, or a part of that")
    return {ours.strip(): column.strip() for ours, _, column in pairs}


def _check_columns(columns: dict[str, str]) -> dict[str, str]:
    unknown = set(columns) - set(_TABLE_COLUMNS)
    if unknown:
        names = ", ".join(sorted(unknown))
        raise ValueError(f"has the unknown name {names}; use {', '.join(_TABLE_COLUMNS)}")
    if "expected_quantity" in columns and "product_quantity" in columns:
        raise ValueError("names both expected_quantity and product_quantity; name the one to use")
    return columns


def _name_decimal_mark(mark: Any) -> Any:
    return _DECIMAL_MARKS.get(mark, mark) if isinstance(mark, str) else mark


def _check_pattern(pattern: str) -> str:
    try:
        names = re.compile(pattern).groupindex
    except re.error as error:
        raise ValueError(f"expected a regular expression: {error}") from None
    if not names:
        raise ValueError("expected a named group, such as (?P<aisle>...) around a part of the bin id")
    return pattern


Fraction = Annotated[float, BeforeValidator(_fraction), Field(description="0 to 1")]
Columns = Annotated[dict[str, str], NoDecode, BeforeValidator(_parse_columns), AfterValidator(_check_columns)]
"""The columns of a table of records, by the names that reconcile gives them."""
DecimalMarkOrSign = Annotated[DecimalMark, BeforeValidator(_name_decimal_mark)]
"""A decimal mark by its name, or the character itself."""
Pattern = Annotated[str, AfterValidator(_check_pattern)]
"""A regular expression with a named group."""
