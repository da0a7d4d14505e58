"""Render the report of a finished run again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
from jinja2 import UndefinedError

from reconcile.errors import ReconcileError, first_line
from reconcile.labels import CountLabels
from reconcile.locations import open_output
from reconcile.output.history import NOT_A_SUMMARY, earlier_runs
from reconcile.output.run_ids import RUN_ID_FORM
from reconcile.output.summary import Summary
from reconcile.pipeline.thumbnails import fetch_thumbnails
from reconcile.reconciliation.results import Results
from reconcile.reporting.recount_queue import shown_queue
from reconcile.reporting.run_report import render_report
from reconcile.storage.base import Bucket, S3Access
from reconcile.storage.open import is_folder, open_bucket
from reconcile.temporary import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconcile.config import Settings
    from reconcile.output.store import Output


_PHOTO_ADVICE = "name their present location with --bucket, or leave them out with --no-photos"


def render_again(settings: Settings, run_id: str, access: dict[str, Any], *, photos: bool) -> str:
    """Render the report of a finished run from its files. Nothing is counted, joined or scored again.

    Args:
        settings: the location of `<out>`, and how to reach it.
        run_id: the run.
        access: the bucket of the photos and the access to it (bucket, endpoint_url, …), if they have changed since the
            run.
        photos: whether to fetch the photos.

    Returns:
        the location of the report.

    Raises:
        ReconcileError: there is no such finished run, an unknown version wrote it, or none of its photos can be
            fetched. The report then stays as it was.
    """
    output = open_output(settings)
    with temporary_folder() as scratch:
        summary, reconciled = _run_files(output, run_id, scratch)
        summary.parameters["out"] = output.location  # <out> may have moved
        bucket = _bucket_of(summary, access) if photos else None
        with Results(reconciled, CountLabels(tuple(summary.labels)), scratch) as results:
            try:
                queue = shown_queue(results, summary.capacity)
                urls = _thumbnails(bucket, queue)
                html = render_report(results, queue, urls, summary, earlier_runs(output, summary, scratch))
            except (duckdb.Error, UndefinedError) as error:
                raise _unknown_version(run_id, error) from None
    return output.write_run_file(run_id, "report.html", html.encode())


def _run_files(output: Output, run_id: str, scratch: Path) -> tuple[Summary, Path]:
    """Return the summary of a finished run, and the path of its reconciled.parquet on this machine."""
    is_valid_id = RUN_ID_FORM.fullmatch(run_id) is not None
    summary_path = output.local_run_file(run_id, "summary.json", scratch) if is_valid_id else None
    reconciled = output.local_run_file(run_id, "reconciled.parquet", scratch) if is_valid_id else None
    if summary_path is None or reconciled is None:
        raise ReconcileError(f"there is no finished run {run_id[:100]} in {output.location}; check the id and --out")
    try:
        summary = Summary.from_dict(json.loads(summary_path.read_bytes()))
        CountLabels(tuple(summary.labels))  # raises ValueError if they are not labels
        summary.parameters.keys()  # raises AttributeError if they are not a dictionary
    except NOT_A_SUMMARY as error:
        raise _unknown_version(run_id, error) from None
    return summary, reconciled


def _unknown_version(run_id: str, error: Exception) -> ReconcileError:
    return ReconcileError(f"run {run_id} was written by a version of reconcile that is not known: {first_line(error)}")


def _thumbnails(bucket: Bucket | None, queue: Sequence[dict[str, Any]]) -> list[str | None]:
    """Return the thumbnails of the queue, or None for each row if there is no bucket."""
    if bucket is None:
        return [None] * len(queue)
    urls = fetch_thumbnails(bucket, queue)
    if queue and not any(urls):
        raise ReconcileError(f"none of the {len(queue):,} photos can be read from {bucket.location}; {_PHOTO_ADVICE}")
    return urls


def _bucket_of(summary: Summary, access: dict[str, Any]) -> Bucket:
    """Open the bucket of a run with the settings of the run, unless `access` has others."""
    settings = summary.parameters | access
    s3_access = S3Access(
        settings.get("endpoint_url"),
        settings.get("region"),
        settings.get("profile"),
        bool(settings.get("no_sign_request", False)),
    )
    location = access.get("bucket") or summary.bucket
    if is_folder(location) and not Path(location).expanduser().is_dir():
        raise ReconcileError(f"the folder {location} with the photos of the run does not exist; {_PHOTO_ADVICE}")
    return open_bucket(location, s3_access)
