"""Read the files of a finished run, and open the bucket of its photos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconcile.errors import ReconcileError, first_line
from reconcile.labels import CountLabels
from reconcile.output.history import NOT_A_SUMMARY
from reconcile.output.run_ids import RUN_ID_FORM, SUMMARY
from reconcile.output.summary import Summary
from reconcile.storage.base import Bucket, S3Access
from reconcile.storage.open import is_folder, open_bucket

if TYPE_CHECKING:
    from reconcile.output.store import Output


def read_finished_run(output: Output, run_id: str, scratch: Path) -> tuple[Summary, Path]:
    """Return the summary of a finished run, and the path of its reconciled.parquet on this machine.

    Args:
        output: holds the run.
        run_id: the run; the id may be of any form.
        scratch: a folder for downloads from S3.

    Raises:
        ReconcileError: there is no such finished run, or an unknown version wrote it.
    """
    is_valid_id = RUN_ID_FORM.fullmatch(run_id) is not None
    summary_path = output.local_run_file(run_id, SUMMARY, scratch) if is_valid_id else None
    reconciled = output.local_run_file(run_id, "reconciled.parquet", scratch) if is_valid_id else None
    if summary_path is None or reconciled is None:
        raise ReconcileError(f"there is no finished run {run_id[:100]} in {output.location}; check the id and --out")
    try:
        summary = Summary.from_dict(json.loads(summary_path.read_bytes()))
        CountLabels(tuple(summary.labels))  # raises ValueError if they are not labels
        summary.parameters.keys()  # raises AttributeError if they are not a dictionary
    except NOT_A_SUMMARY as error:
        raise unknown_version(run_id, error) from None
    return summary, reconciled


def unknown_version(run_id: str, error: Exception) -> ReconcileError:
    """Return the error for a run whose files have another form than those of this version."""
    return ReconcileError(f"run {run_id} was written by a version of reconcile that is not known: {first_line(error)}")


def photo_bucket(summary: Summary, access: dict[str, Any], advice: str) -> Bucket:
    """Open the bucket of a run with the settings of the run, unless `access` has others.

    Args:
        summary: the summary of the run.
        access: the bucket of the photos and the access to it (bucket, endpoint_url, …), if they have changed since.
        advice: what to do if the folder of the photos is gone; the end of an error message.

    Raises:
        ReconcileError: the bucket is a folder that does not exist, or there are no credentials.
    """
    settings = summary.parameters | access
    s3_access = S3Access(
        settings.get("endpoint_url"),
        settings.get("region"),
        settings.get("profile"),
        bool(settings.get("no_sign_request", False)),
    )
    location = access.get("bucket") or summary.bucket
    if is_folder(location) and not Path(location).expanduser().is_dir():
        raise ReconcileError(f"the folder {location} with the photos of the run does not exist; {advice}")
    return open_bucket(location, s3_access)
