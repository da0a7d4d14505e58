"""Render the report of a finished run again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
from jinja2 import UndefinedError

from reconcile.errors import ReconcileError
from reconcile.labels import CountLabels
from reconcile.locations import open_output
from reconcile.output.finished_runs import photo_bucket, read_finished_run, unknown_version
from reconcile.output.history import earlier_runs
from reconcile.pipeline.thumbnails import fetch_thumbnails
from reconcile.reconciliation.results import Results
from reconcile.reporting.recount_queue import shown_queue
from reconcile.reporting.run_report import render_report
from reconcile.temporary import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconcile.config import Settings
    from reconcile.storage.base import Bucket


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
        summary, reconciled = read_finished_run(output, run_id, scratch)
        summary.parameters["out"] = output.location  # <out> may have moved
        bucket = photo_bucket(summary, access, _PHOTO_ADVICE) if photos else None
        with Results(reconciled, CountLabels(tuple(summary.labels)), scratch) as results:
            try:
                queue = shown_queue(results, summary.capacity)
                urls = _thumbnails(bucket, queue)
                html = render_report(results, queue, urls, summary, earlier_runs(output, summary, scratch))
            except (duckdb.Error, UndefinedError) as error:
                raise unknown_version(run_id, error) from None
    return output.write_run_file(run_id, "report.html", html.encode())


def _thumbnails(bucket: Bucket | None, queue: Sequence[dict[str, Any]]) -> list[str | None]:
    """Return the thumbnails of the queue, or None for each row if there is no bucket."""
    if bucket is None:
        return [None] * len(queue)
    urls = fetch_thumbnails(bucket, queue)
    if queue and not any(urls):
        raise ReconcileError(f"none of the {len(queue):,} photos can be read from {bucket.location}; {_PHOTO_ADVICE}")
    return urls
