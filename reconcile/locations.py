"""From settings to the places they name: how S3 is reached, and <out>."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from reconcile.output.store import Output
from reconcile.storage.open import is_folder, open_bucket

if TYPE_CHECKING:
    from reconcile.config import Settings


def open_output(settings: Settings, *, create: bool = False) -> Output:
    """<out>; unlike the bucket, it can never be anonymous.

    Args:
        settings: where it is.
        create: make the folder if it is not there, as a run does.
    """
    return Output(open_bucket(as_folder(settings.out), settings.output_access(), create=create))


def output_folder(settings: Settings) -> Path | None:
    """The folder that <out> names, whether or not it is there; None where <out> is on S3."""
    location = as_folder(settings.out)
    return Path(location).expanduser().resolve() if is_folder(location) else None


def as_folder(out: str) -> str:
    """A bare word is a folder here: nobody's first --out is the name of a bucket."""
    return out if "/" in out or out.startswith((".", "~")) else f"./{out}"
