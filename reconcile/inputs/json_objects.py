"""JSON objects in which a name occurs several times. Python's json module keeps only the last value."""

from __future__ import annotations

from collections import Counter
from typing import Any


class RepeatedNames(dict[str, Any]):
    """A JSON object in which a name occurs several times."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        numbers = Counter(name for name, _ in pairs)
        self.repeated = {name for name, number in numbers.items() if number > 1}


def keep_repeated_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object as a dictionary: the `object_pairs_hook` of `json.loads`."""
    row = dict(pairs)
    return row if len(row) == len(pairs) else RepeatedNames(pairs)
