"""Open the locations that settings name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from reconcile.errors import UsageError
from reconcile.output.store import Output
from reconcile.storage.open import is_bare_word, is_folder, open_bucket

if TYPE_CHECKING:
    from reconcile.config import Settings
    from reconcile.storage.base import Bucket


def open_output(settings: Settings, *, create: bool = False) -> Output:
    """Open `<out>`.

    Args:
        settings: settings that name `<out>`.
        create: create the folder if it does not exist.

    Raises:
        ReconcileError: `<out>` does not exist, or it cannot be reached.
    """
    return Output(open_bucket(as_folder(settings.out), settings.output_access(), create=create))


def output_folder(settings: Settings) -> Path | None:
    """Return the local folder that `<out>` names, whether or not it exists; None if `<out>` is on S3."""
    location = as_folder(settings.out)
    return Path(location).expanduser().resolve() if is_folder(location) else None


def check_apart(settings: Settings, bucket: Bucket, output: str) -> None:
    """Check that a run does not read its own results as photos or records.

    Args:
        settings: settings that name the prefixes of photos and records.
        bucket: the bucket with the photos.
        output: the location of `<out>`.

    Raises:
        UsageError: `<out>` lies among the photos or the records.
    """
    for prefix in (settings.images_prefix, settings.records_prefix):
        if f"{output}/".startswith(bucket.url(prefix).rstrip("/") + "/"):
            raise UsageError(
                f"--out lies in {bucket.url(prefix)}, so a run would read its own results as photos or records; "
                "choose another --out"
            )


def as_folder(location: str) -> str:
    """Return a location, with a bare word such as `results` as the folder `./results`.

    For photos, a bare word is a bucket. For `--out`, people expect a folder.

    Raises:
        UsageError: reconcile does not support the location, or it holds credentials.
    """
    return f"./{location}" if is_bare_word(location) else location
