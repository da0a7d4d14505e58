"""Bin ids, from the keys of photos and records."""

from __future__ import annotations

from pathlib import PurePosixPath

_FEW = 0.1
"""Of the bins that photos and records could have in common."""


def bin_id(key: str) -> str:
    """The file name without its ending: `bin-images/00001.jpg` and `metadata/00001.json` are of bin `00001`."""
    name = key.rpartition("/")[2]
    if name in ("", "."):
        name = PurePosixPath(key).name  # knows what such a key means, at twenty times the time
    stem, dot, _ = name.rpartition(".")
    return stem if dot and stem else name


def ids_rarely_match(met: int, alone: int) -> bool:
    """Whether so few bins have both photo and record that they may meet by chance, their ids being of two kinds.

    Args:
        met: bins with both.
        alone: bins of photos or of records, whichever are fewer, without the other.
    """
    return met < _FEW * (met + alone)
