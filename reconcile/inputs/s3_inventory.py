"""The manifest of an S3 Inventory report: which bucket, how old, and in which files the keys are.

The form is documented in the Amazon S3 User Guide, "Locating your inventory list". The files lie in the bucket that the
manifest is in. In CSV they have no header, and their keys are URL-encoded.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from reconcile.errors import ReconcileError
from reconcile.text import plural

_FORMATS = {"csv": ".csv.gz", "parquet": ".parquet", "orc": ".orc"}


class InventoryFile(NamedTuple):
    """One of the files that hold the keys."""

    key: str
    """In the bucket of the manifest."""
    size: int | None
    md5: str | None


@dataclass(frozen=True)
class Manifest:
    """What an inventory says of itself."""

    source_bucket: str
    created: datetime
    file_format: str
    """CSV, Parquet or ORC."""
    columns: tuple[str, ...]
    """Of its CSV files; of the others, the files say."""
    files: tuple[InventoryFile, ...]

    @property
    def ending(self) -> str:
        """What its files' names end in."""
        return _FORMATS[self.file_format.lower()]

    def age(self, now: datetime) -> str:
        """How old it is, in words."""
        hours = (now - self.created).total_seconds() / 3600
        if hours < 72:
            return f"{plural(round(hours), 'hour')} old"
        return f"{hours / 24:.0f} days old"


def read_manifest(data: bytes, source: str) -> Manifest:
    """Read manifest.json.

    Args:
        data: the file.
        source: what the user calls it.

    Raises:
        ReconcileError: it is no manifest of S3 Inventory.
    """
    try:
        found = json.loads(data)
        manifest = Manifest(
            source_bucket=str(found["sourceBucket"]),
            created=datetime.fromtimestamp(int(found["creationTimestamp"]) / 1000, UTC),
            file_format=str(found["fileFormat"]),
            columns=tuple(name.strip() for name in str(found["fileSchema"]).split(",")),
            files=tuple(InventoryFile(str(f["key"]), f.get("size"), f.get("MD5checksum")) for f in found["files"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        what = f"it says nothing of {error}" if isinstance(error, KeyError) else str(error)[:200]
        raise ReconcileError(f"--keys {source} is no manifest of S3 Inventory: {what}") from None
    if manifest.file_format.lower() not in _FORMATS:
        raise ReconcileError(f"--keys {source}: files in {manifest.file_format} are not known; have them in Parquet")
    return manifest
