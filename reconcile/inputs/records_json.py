"""Parse JSON records of the Amazon Bin Image Dataset."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reconcile.inputs.json_objects import RepeatedNames, keep_repeated_names
from reconcile.inputs.quantities import AmbiguousNumber, InvalidNumber, parse_count
from reconcile.text import plural

if TYPE_CHECKING:
    from collections.abc import Iterable


MAX_RECORD_BYTES = 4 * 1024 * 1024
"""A larger object is not a record, and it is not fetched."""
_MAX_NUMBER = 2**53
"""The largest number up to which a float64 holds every integer."""
_MEASURES = ("length", "width", "height", "weight")


@dataclass(frozen=True)
class Record:
    """The record of one bin in the inventory system."""

    expected_quantity: int
    items: list[dict[str, Any]] = field(default_factory=list)
    """Per item: asin, name, quantity (None if unknown), and length, width, height, weight as {value, unit} or None."""
    note: str | None = None
    """A remark about something unusual in a valid record."""


class InvalidRecord(ValueError):
    """An error for a record that cannot be used. The report shows its message as the reason."""


def parse_abid_record(data: bytes) -> Record:
    """Parse one JSON record of the Amazon Bin Image Dataset.

    The expected quantity comes from `EXPECTED_QUANTITY` alone. If the items have another sum, the record gets a note.
    An item that cannot be parsed, or in which a name occurs several times, is left out with a note.

    Args:
        data: JSON in UTF-8, with or without byte order mark: `EXPECTED_QUANTITY` and optionally `BIN_FCSKU_DATA`, a
            mapping of items with asin, name, quantity and measures.

    Raises:
        InvalidRecord: the data is not a JSON object, or its quantity is missing, repeated, negative, fractional or
            not a number.
    """
    if not data:
        raise InvalidRecord("the record is empty (0 bytes)")
    try:
        document = _load(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise InvalidRecord("not UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        position = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise InvalidRecord(f"not JSON{position}") from None
    if not isinstance(document, dict):
        raise InvalidRecord("the record is not a JSON object with EXPECTED_QUANTITY")
    if "EXPECTED_QUANTITY" not in document:
        raise InvalidRecord("EXPECTED_QUANTITY is missing")
    repeated = document.repeated if isinstance(document, RepeatedNames) else set()
    if "EXPECTED_QUANTITY" in repeated:
        raise InvalidRecord("EXPECTED_QUANTITY occurs several times")
    quantity = _parse_quantity(document["EXPECTED_QUANTITY"])
    items, unreadable = _parse_items("?" if "BIN_FCSKU_DATA" in repeated else document.get("BIN_FCSKU_DATA"))
    return Record(quantity, items, _note(quantity, items, unreadable))


def _load(text: str) -> Any:
    """Parse JSON. An object in which a name of a record occurs several times becomes a RepeatedNames."""
    document = json.loads(text)
    # The hook is called for each object, so it doubles the time. Few texts need it.
    return json.loads(text, object_pairs_hook=keep_repeated_names) if _may_repeat_names(text, document) else document


def _may_repeat_names(text: str, document: object) -> bool:
    if "\\" in text:  # a name may be written with escapes
        return True
    items = document.get("BIN_FCSKU_DATA") if isinstance(document, dict) else None
    most = len(items) if isinstance(items, dict) else 0
    limits = {"EXPECTED_QUANTITY": 1, "BIN_FCSKU_DATA": 1, "asin": most, "name": most, "quantity": most}
    return any(text.count(f'"{name}"') > limit for name, limit in limits.items())


def _parse_quantity(value: object) -> int:
    """Return a value as a whole number of items, 0 or more. For example, `3`, `3.0` and `"3"` are all 3.

    Raises:
        InvalidRecord: the value is anything else.
    """
    try:
        return parse_count(value)
    except InvalidNumber as error:
        shown = repr(value[:40]) if isinstance(value, str) else json.dumps(value)[:40]
        advice = "; write it as a JSON number" if isinstance(error, AmbiguousNumber) else ""
        raise InvalidRecord(f"EXPECTED_QUANTITY is {error.problem}: {shown}{advice}") from None


def _parse_items(data: object) -> tuple[list[dict[str, Any]], int]:
    """Return the items that can be parsed, and the number of those that cannot."""
    if not isinstance(data, dict):
        return [], 0 if data is None else 1
    items, unreadable = [], 0
    repeated = data.repeated if isinstance(data, RepeatedNames) else set()
    for key, item in data.items():
        if not isinstance(item, dict) or isinstance(item, RepeatedNames) or key in repeated:
            unreadable += 1
            continue
        measures = {measure: _parse_measure(item.get(measure)) for measure in _MEASURES}
        name = item.get("name") or item.get("normalizedName")
        items.append(
            {
                "asin": _encodable(item.get("asin") or key),
                "name": None if name is None else _encodable(name),
                "quantity": _item_quantity(item.get("quantity")),
                **measures,
            }
        )
    return items, unreadable


def _item_quantity(value: object) -> int | None:
    try:
        return parse_count(value)
    except InvalidNumber:
        return None


def _parse_measure(data: object) -> dict[str, Any] | None:
    """Return a measure as {value, unit}. A value that is not a number becomes None."""
    if not isinstance(data, dict):
        return None
    value, unit = data.get("value"), data.get("unit")
    number: float | None = None
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _MAX_NUMBER:
        number = float(value)
    return {"value": number, "unit": None if unit is None else _encodable(unit)}


def _encodable(value: object) -> str:
    """Return a value as text, without halves of surrogate pairs. JSON can escape them, but Parquet cannot hold them."""
    return str(value).encode("utf-8", "replace").decode()


def _note(quantity: int, items: Iterable[dict[str, Any]], unreadable: int) -> str | None:
    notes = []
    total = sum(item["quantity"] or 0 for item in items)
    if total != quantity:
        notes.append(f"the items add up to {total}, but the record says {quantity}")
    if unreadable:
        notes.append(f"{plural(unreadable, 'item')} could not be read")
    return "; ".join(notes) or None
