"""Bin ids from the keys of photos and records."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_RARE_FRACTION = 0.1
"""The smallest fraction of the bins that must match. Fewer matches than this may be by chance."""


def bin_id(key: str) -> str:
    """Return the bin id of a key: its file name without the ending.

    For example, `bin-images/00001.jpg` and `metadata/00001.json` belong to bin `00001`.
    """
    name = key.rpartition("/")[2]
    if name in ("", "."):
        name = PurePosixPath(key).name  # pathlib handles such keys, but takes twenty times as long
    stem, dot, _ = name.rpartition(".")
    return stem if dot and stem else name


def bins_in_several_folders(keys: Iterable[str]) -> list[tuple[str, str]]:
    """Return two keys for each bin that has photos in several folders, such as `A1/01.jpg` and `A2/01.jpg`."""
    first_keys: dict[str, str] = {}
    pairs: dict[str, tuple[str, str]] = {}
    for key in keys:
        first = first_keys.setdefault(bin_id(key), key)
        if first.rpartition("/")[0] != key.rpartition("/")[0]:
            pairs.setdefault(bin_id(key), (first, key))
    return list(pairs.values())


def ids_rarely_match(matched: int, unmatched: int) -> bool:
    """Return whether the ids of photos and records rarely match. They are then probably of two different kinds.

    Args:
        matched: the number of bins with both.
        unmatched: the number of bins with only a photo, or of bins with only a record, whichever is smaller.
    """
    return matched < _RARE_FRACTION * (matched + unmatched)
