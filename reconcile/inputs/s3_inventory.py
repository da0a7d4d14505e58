"""The manifest of an S3 Inventory report.

It names the bucket, the time of the report and the files that hold the keys. The Amazon S3 User Guide documents its
form under "Locating your inventory list". The files are in the same bucket as the manifest. CSV files have no header,
and their keys are URL-encoded.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from reconcile.errors import ReconcileError
from reconcile.text import plural

_FORMATS = ("csv", "parquet", "orc")


class InventoryFile(NamedTuple):
    """One file of an inventory, which holds keys."""

    key: str
    """Its key in the bucket of the manifest."""
    size: int | None
    """In bytes."""
    md5: str | None


@dataclass(frozen=True)
class Manifest:
    """The content of a manifest."""

    source_bucket: str
    created: datetime
    file_format: str
    """CSV, Parquet or ORC."""
    columns: tuple[str, ...]
    """The columns of CSV files. Files of the other formats name their columns themselves."""
    files: tuple[InventoryFile, ...]

    def age_text(self, now: datetime) -> str:
        """Return the age of the inventory as text, such as `22 hours old` or `4 days old`."""
        hours = (now - self.created).total_seconds() / 3600
        if hours < 72:
            return f"{plural(round(hours), 'hour')} old"
        return f"{hours / 24:.0f} days old"


def read_manifest(data: bytes, source: str) -> Manifest:
    """Parse a manifest.json.

    Args:
        data: the content of the file.
        source: the file as the user named it.

    Raises:
        ReconcileError: the data is not an S3 Inventory manifest, or reconcile cannot read the format of its files.
    """
    try:
        document = json.loads(data)
        manifest = Manifest(
            source_bucket=str(document["sourceBucket"]),
            created=datetime.fromtimestamp(int(document["creationTimestamp"]) / 1000, UTC),
            file_format=str(document["fileFormat"]),
            columns=tuple(name.strip() for name in str(document["fileSchema"]).split(",")),
            files=tuple(
                InventoryFile(str(file["key"]), file.get("size"), file.get("MD5checksum")) for file in document["files"]
            ),
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)[:200]
        raise ReconcileError(f"--keys {source} is not an S3 Inventory manifest: {what}") from None
    if manifest.file_format.lower() not in _FORMATS:
        raise ReconcileError(
            f"--keys {source}: reconcile cannot read inventory files in {manifest.file_format}; "
            "configure the inventory to write Parquet"
        )
    return manifest
