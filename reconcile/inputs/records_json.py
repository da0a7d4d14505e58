"""Expected quantities: from the JSON record beside each image, or from one table."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reconcile.text import plural

if TYPE_CHECKING:
    from collections.abc import Iterable


MAX_RECORD_BYTES = 4 * 1024 * 1024
_LARGEST_QUANTITY = 2**53
_MEASURES = ("length", "width", "height", "weight")


@dataclass(frozen=True)
class Record:
    """What the inventory system believes of one bin."""

    expected_quantity: int
    items: list[dict[str, Any]] = field(default_factory=list)
    """asin, name, quantity (None where unknown), and length, width, height, weight as {value, unit} or None."""
    note: str | None = None
    """Something odd that does not make the record invalid."""


class InvalidRecord(ValueError):
    """The bytes are no usable record; the message is the reason given in the report."""


def parse_abid_record(data: bytes) -> Record:
    """Read one record in the JSON of the Amazon Bin Image Dataset.

    `EXPECTED_QUANTITY` decides. Items that do not add up to it are noted, and items that cannot be read are left out
    with a note, since neither changes what the bin should hold.

    Args:
        data: UTF-8 (with or without byte order mark) JSON: `EXPECTED_QUANTITY` and `BIN_FCSKU_DATA`, a mapping of
            items with asin, name, quantity and their measures.

    Raises:
        InvalidRecord: not JSON, no quantity, or one that is negative, fractional or no number.
    """
    if not data:
        raise InvalidRecord("the record is empty (0 bytes)")
    try:
        document = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise InvalidRecord("not UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        where = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise InvalidRecord(f"not JSON{where}") from None
    if not isinstance(document, dict):
        raise InvalidRecord("the JSON is not an object with EXPECTED_QUANTITY")
    if "EXPECTED_QUANTITY" not in document:
        raise InvalidRecord("EXPECTED_QUANTITY is missing")
    quantity = parse_quantity(document["EXPECTED_QUANTITY"])
    items, unread = _read_items(document.get("BIN_FCSKU_DATA"))
    return Record(quantity, items, _note(quantity, items, unread))


def parse_quantity(value: object) -> int:
    """A whole number of items, 0 or more; `3`, `3.0` and `"3"` are all three.

    Raises:
        InvalidRecord: anything else.
    """
    if isinstance(value, str):
        text = value
        try:
            value = int(text) if text.strip().isdecimal() else float(text)
        except ValueError:
            raise InvalidRecord(f"EXPECTED_QUANTITY is no number: {text[:40]!r}") from None
    if value is None or isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRecord(f"EXPECTED_QUANTITY is no number: {json.dumps(value)}"[:80])
    if value != value or abs(value) > _LARGEST_QUANTITY:
        raise InvalidRecord(f"EXPECTED_QUANTITY is no count: {str(value)[:40]}")
    if value < 0:
        raise InvalidRecord(f"EXPECTED_QUANTITY is negative: {value}")
    if value != int(value):
        raise InvalidRecord(f"EXPECTED_QUANTITY is fractional: {value}")
    return int(value)


def _read_items(found: object) -> tuple[list[dict[str, Any]], int]:
    """The items that can be read, and how many cannot."""
    if not isinstance(found, dict):
        return [], 0 if found is None else 1
    items, unread = [], 0
    for key, item in found.items():
        if not isinstance(item, dict):
            unread += 1
            continue
        measures = {measure: _measure(item.get(measure)) for measure in _MEASURES}
        name = item.get("name") or item.get("normalizedName")
        items.append(
            {
                "asin": _text(item.get("asin") or key),
                "name": None if name is None else _text(name),
                "quantity": _item_quantity(item.get("quantity")),
                **measures,
            }
        )
    return items, unread


def _item_quantity(value: object) -> int | None:
    try:
        return parse_quantity(value)
    except InvalidRecord:
        return None


def _measure(found: object) -> dict[str, Any] | None:
    if not isinstance(found, dict):
        return None
    value, unit = found.get("value"), found.get("unit")
    number: float | None = None
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST_QUANTITY:
        number = float(value)
    return {"value": number, "unit": None if unit is None else _text(unit)}


def _text(value: object) -> str:
    """JSON may escape half a surrogate pair, which no Parquet file can hold."""
    return str(value).encode("utf-8", "replace").decode()


def _note(quantity: int, items: Iterable[dict[str, Any]], unread: int) -> str | None:
    notes = []
    total = sum(item["quantity"] or 0 for item in items)
    if total != quantity:
        notes.append(f"the items add up to {total}, the record says {quantity}")
    if unread:
        notes.append(f"{plural(unread, 'item')} could not be read")
    return "; ".join(notes) or None
