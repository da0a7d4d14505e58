"""Taps of people: counts, bins that cannot be counted, and taps that are taken back."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

Action = Literal["count", "cannot", "undo"]
ENTRY_ID_FORM = re.compile(r"[A-Za-z0-9_-]{8,64}")
MOST_ITEMS = 99_999
"""The largest count of one bin, as for imported files. A larger number was probably scanned from a barcode."""
LONGEST_NAME, LONGEST_NOTE = 60, 500
_LONGEST_AGO = timedelta(days=30)
"""A tap that waited on a phone for longer has no usable time."""


class InvalidEntry(ValueError):
    """A tap that cannot be saved. The message is for the person who made it."""


@dataclass(frozen=True)
class Entry:
    """One tap on one card."""

    entry_id: str
    """A random text that the phone made. A second entry with the same id is a repetition."""
    run_id: str
    number: int
    """The card, see `queue.Card.number`."""
    bin_id: str
    action: Action
    count: int | None
    note: str | None
    reason: str | None
    withdraws: str | None
    """The id of the entry that an undo takes back."""
    ago: timedelta
    """The time between the tap and the request, by the clock of the phone."""


def parse_entry(value: Any) -> Entry:
    """Return one entry of a request.

    Args:
        value: a JSON object with id, run, number, bin and action; also count, note, reason, withdraws, and ago in
            seconds.

    Raises:
        InvalidEntry: a value is missing or malformed.
    """
    if not isinstance(value, dict):
        raise InvalidEntry("an entry must be a JSON object")
    entry_id, action, count = value.get("id"), value.get("action"), value.get("count")
    if not isinstance(entry_id, str) or not ENTRY_ID_FORM.fullmatch(entry_id):
        raise InvalidEntry("the entry has no valid id")
    if action not in ("count", "cannot", "undo"):
        raise InvalidEntry("the action is not count, cannot or undo")
    if action == "count" and not (type(count) is int and 0 <= count <= MOST_ITEMS):
        raise InvalidEntry(f"a count is a whole number from 0 to {MOST_ITEMS:,}; is it a barcode?")
    withdraws = value.get("withdraws")
    if action == "undo" and not (isinstance(withdraws, str) and ENTRY_ID_FORM.fullmatch(withdraws)):
        raise InvalidEntry("an undo must name the entry that it takes back")
    number = value.get("number")
    if type(number) is not int:
        raise InvalidEntry("the number of the card is not a whole number")
    return Entry(
        entry_id=entry_id,
        run_id=text_of(value.get("run"), 100) or "",
        number=number,
        bin_id=str(value.get("bin") or ""),
        action=action,
        count=count if action == "count" else None,
        note=text_of(value.get("note"), LONGEST_NOTE),
        reason=text_of(value.get("reason"), LONGEST_NAME),
        withdraws=withdraws if action == "undo" else None,
        ago=_ago(value.get("ago")),
    )


def text_of(value: Any, longest: int) -> str | None:
    """Return a text of a request on one line and cut to a length, or None if it is empty.

    Lone surrogates, which no file can hold, become question marks.
    """
    if not isinstance(value, str):
        return None
    text = value.encode("utf-8", "replace").decode()
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:longest] or None


def counted_at(entry: Entry, now: datetime) -> datetime:
    """Return when the tap was made, by the clock of the server. So a wrong clock of a phone does not matter."""
    return now - entry.ago


def _ago(value: Any) -> timedelta:
    if isinstance(value, int | float) and 0 <= value <= _LONGEST_AGO.total_seconds():
        return timedelta(seconds=float(value))
    return timedelta(0)
