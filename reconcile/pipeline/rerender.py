"""The report of a finished run, rendered again from what that run left."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
from jinja2 import UndefinedError

from reconcile.errors import ReconcileError, first_line
from reconcile.labels import CountLabels
from reconcile.locations import open_output
from reconcile.output.history import earlier_runs
from reconcile.output.run_ids import RUN_ID_FORM
from reconcile.output.summary import Summary
from reconcile.reconciliation.results import Results
from reconcile.reporting.run_report import SAY_WHERE_PHOTOS_ARE, render_report
from reconcile.storage.base import Bucket, S3Access
from reconcile.storage.open import is_folder, open_bucket

if TYPE_CHECKING:
    from reconcile.config import Settings


def render_again(settings: Settings, run_id: str, reach: dict[str, Any], *, photos: bool) -> str:
    """Render the report of a finished run from what it left; nothing is counted, joined or judged anew.

    Args:
        settings: where <out> is, and how it is reached.
        run_id: of the run.
        reach: what is said of the bucket that the photos are in (bucket, endpoint_url, …) where it is not as it was.
        photos: whether to fetch them.

    Returns:
        where the report is.

    Raises:
        ReconcileError: there is no such finished run, it is of a form that is not known here, or none of its photos can
            be had: then the report stays as it was.
    """
    output = open_output(settings)
    with tempfile.TemporaryDirectory(prefix="reconcile-", ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        is_a_name = RUN_ID_FORM.fullmatch(run_id) is not None
        found = output.local_run_file(run_id, "summary.json", work) if is_a_name else None
        reconciled = output.local_run_file(run_id, "reconciled.parquet", work) if is_a_name else None
        if found is None or reconciled is None:
            raise ReconcileError(f"there is no finished run {run_id[:100]} in {output.location}")
        try:
            summary = Summary.from_dict(json.loads(found.read_bytes()))
            labels = CountLabels(tuple(summary.labels))
            summary.parameters["out"] = output.location  # it may have moved
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ReconcileError(f"run {run_id} is of a version that is not known here: {error}") from None
        bucket = _bucket_of(summary, reach) if photos else None
        with Results(reconciled, labels, work) as results:
            try:
                earlier = earlier_runs(output, summary, work)
                html = render_report(results, bucket, summary, earlier, need_photos=photos)
            except (duckdb.Error, UndefinedError) as error:
                detail = first_line(error)
                raise ReconcileError(f"run {run_id} is of a version that is not known here: {detail}") from None
    return output.write_run_file(run_id, "report.html", html.encode())


def _bucket_of(summary: Summary, reach: dict[str, Any]) -> Bucket:
    """The bucket that a run was over, reached as it was unless something else is said."""
    how = summary.parameters | reach
    access = S3Access(
        how.get("endpoint_url"), how.get("region"), how.get("profile"), bool(how.get("no_sign_request", False))
    )
    place = reach.get("bucket") or summary.bucket
    if is_folder(place) and not Path(place).expanduser().is_dir():
        raise ReconcileError(f"there is no folder {place} with the run's photos; {SAY_WHERE_PHOTOS_ARE}")
    return open_bucket(place, access)
