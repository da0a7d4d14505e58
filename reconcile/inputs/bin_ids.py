"""Bin ids from the keys of photos and records."""

from __future__ import annotations

from pathlib import PurePosixPath

_RARE_FRACTION = 0.1
"""Fewer matches than this, as a fraction of the bins that could match, may be matches by chance."""


def bin_id(key: str) -> str:
    """Return the bin id of a key: its file name without the ending.

    For example, `bin-images/00001.jpg` and `metadata/00001.json` belong to bin `00001`.
    """
    name = key.rpartition("/")[2]
    if name in ("", "."):
        name = PurePosixPath(key).name  # handles such keys, but takes twenty times as long
    stem, dot, _ = name.rpartition(".")
    return stem if dot and stem else name


def ids_rarely_match(matched: int, unmatched: int) -> bool:
    """Tell whether so few bins have both a photo and a record that their ids are probably of two different kinds.

    Args:
        matched: the number of bins with both.
        unmatched: the number of bins without the other, of the photos or of the records, whichever are fewer.
    """
    return matched < _RARE_FRACTION * (matched + unmatched)
