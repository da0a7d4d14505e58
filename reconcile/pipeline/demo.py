"""`reconcile demo`: the main job on 200 bins, of the public bucket where it answers, drawn where it does not."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import obstore
from obstore.store import S3Store

from reconcile.datasets.sample_bucket import write_sample_bucket

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any


PUBLIC_BUCKET = "aft-vbi-pds"
BINS = 200
CAPACITY = 20
_PATIENCE = timedelta(seconds=3)


def demo_settings(folder: Path) -> tuple[dict[str, Any], str]:
    """Settings of `reconcile run` for the demo.

    Args:
        folder: a drawn bucket and the results go under it.

    Returns:
        the settings, and a notice that says what is being counted.
    """
    # Of so few bins nobody recounts a hundred.
    out = {"out": str(folder.absolute() / "out"), "capacity": CAPACITY}
    if public_bucket_answers():
        where = {"bucket": PUBLIC_BUCKET, "region": "us-east-1", "no_sign_request": True, "limit": BINS}
        return out | where, f"The first {BINS} bins of the public bucket {PUBLIC_BUCKET} (Amazon Bin Image Dataset)."
    bucket = folder.absolute() / "bucket"
    sample = write_sample_bucket(bucket, BINS)
    notice = (
        f"The public bucket {PUBLIC_BUCKET} does not answer. These are {sample.bins} drawings, no photos, with "
        f"{sample.planted} wrong records and some broken files among them: "
        "how well drawings are counted says nothing about photos."
    )
    return out | {"bucket": str(bucket), "record_error_rate": sample.planted / sample.bins}, notice


def public_bucket_answers() -> bool:
    """Whether the public bucket can be listed within three seconds."""
    store = S3Store(
        PUBLIC_BUCKET,
        region="us-east-1",
        skip_signature=True,
        client_options={"timeout": _PATIENCE, "connect_timeout": _PATIENCE},
        retry_config={"max_retries": 0, "retry_timeout": _PATIENCE},
    )
    try:
        return bool(next(iter(obstore.list(store, prefix="bin-images/", chunk_size=1)), None))
    except Exception:  # offline, blocked, renamed: whatever it is, the drawings do
        return False
