"""Settings for `reconcile demo`: the public bucket, or drawn bins if it is unreachable."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from reconcile.datasets.sample_bucket import write_sample_bucket
from reconcile.storage.base import S3Access
from reconcile.storage.s3_client import S3Connection

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any


PUBLIC_BUCKET = "aft-vbi-pds"
_ACCESS = S3Access(region="us-east-1", no_sign_request=True)
BINS = 200
CAPACITY = 20
"""The number of bins to recount. The default of 100 would be half of the bins."""
_TIMEOUT = timedelta(seconds=3)


def demo_settings(folder: Path) -> tuple[dict[str, Any], str]:
    """Return the settings of `reconcile run` for the demo.

    Args:
        folder: the folder for the results and, if needed, for the drawn bucket.

    Returns:
        the settings, and a notice about the photos that are counted.
    """
    out = {"out": str(folder.absolute() / "out"), "capacity": CAPACITY}
    if public_bucket_answers():
        source = {"bucket": PUBLIC_BUCKET, "region": _ACCESS.region, "no_sign_request": True, "limit": BINS}
        notice = (
            f"This run counts the first {BINS} bins of the public bucket {PUBLIC_BUCKET} (Amazon Bin Image Dataset)."
        )
        return out | source, notice
    bucket = folder.absolute() / "bucket"
    sample = write_sample_bucket(bucket, BINS)
    notice = (
        f"The public bucket {PUBLIC_BUCKET} does not answer. This run counts {sample.bins} drawings instead of photos. "
        f"{sample.planted} of their records are wrong, and some files are broken. "
        "The accuracy on drawings says nothing about the accuracy on photos."
    )
    return out | {"bucket": str(bucket), "record_error_rate": sample.planted / sample.bins}, notice


def public_bucket_answers() -> bool:
    """Return whether the public bucket can be listed within three seconds."""
    try:
        return S3Connection(PUBLIC_BUCKET, "", _ACCESS).has_objects("bin-images/", _TIMEOUT)
    except Exception:  # offline, blocked or renamed: the demo draws bins instead
        return False
