"""One night from beginning to end: count what is new, reconcile, report."""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from reconcile.bucket import Bucket, S3Access, bring_file, open_bucket
from reconcile.counter import Counter, load_counter
from reconcile.counting import count_images, read_records
from reconcile.errors import Interrupted, ReconcileError
from reconcile.reconciliation import Night
from reconcile.records_table import table_format
from reconcile.report import render_report
from reconcile.store import Output
from reconcile.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconcile.config import Settings
    from reconcile.messages import Messages

_NOT_IN_REPORT = {"log_format", "run_id"}


class _Places(NamedTuple):
    """What a run works with, opened and found good."""

    bucket: Bucket
    output: Output
    counter: Counter


def new_run_id() -> str:
    """The time, such as 20261123T021500Z: run ids sort by it."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")


def run(settings: Settings, run_id: str, messages: Messages) -> Summary:
    """Count every image that this model has not counted, join with the records, write the night's results.

    Args:
        settings: what `reconcile run` was told.
        run_id: the folder under <out>/runs/.
        messages: where progress goes.

    Returns:
        the numbers, as in summary.json, with the exit code that follows from them.

    Raises:
        ReconcileError: no bucket, no credentials, no model, no output: in one line, before any work starts.

    """
    started = datetime.now(UTC)
    places = _open(settings, run_id, messages)
    counter = places.counter
    summary = Summary(
        run_id=run_id,
        bucket=places.bucket.location,
        started_at=started.isoformat(timespec="seconds"),
        model_version=counter.card.version,
        model_id=counter.model_id,
        labels=list(counter.card.labels.names),
        provider=counter.provider.removesuffix("ExecutionProvider"),
        parameters={
            name: value
            for name, value in settings.model_dump(mode="json", exclude=_NOT_IN_REPORT).items()
            if value not in (None, {}, False)
        },
    )
    try:
        _work(settings, places, summary, messages)
    except KeyboardInterrupt:
        raise Interrupted("interrupted; what was counted is kept, run the same command again to go on") from None
    return summary


def _work(settings: Settings, places: _Places, summary: Summary, messages: Messages) -> None:
    counter = places.counter
    with tempfile.TemporaryDirectory(prefix="reconcile-") as folder:
        work = Path(folder)
        counts_folder = f"counts/{counter.model_id}"
        night = Night(
            work,
            counter.card.labels,
            places.output.local_parts(counts_folder, work),
            places.output.local_parts("records", work),
        )
        try:
            _use_records_table(settings, night, work)
            _count(settings, places, night, summary, messages)
            _read_records(settings, places.bucket, places.output, night, summary, messages)
            night.use_parts(places.output.local_parts(counts_folder, work), places.output.local_parts("records", work))
            _finish(settings, places, night, work, summary)
        finally:
            night.close()


def _open(settings: Settings, run_id: str, messages: Messages) -> _Places:
    if settings.records is not None:
        table_format(settings.records)
    counter = load_counter(settings.model, settings.device, messages.warn)
    access = s3_access(settings)
    bucket = open_bucket(settings.bucket, access)
    output = open_output(settings)
    output.check_writable()
    if output.has_finished(run_id):
        raise ReconcileError(f"run {run_id} is finished already; choose another --run-id")
    workers = f"{counter.workers} session{'s' if counter.workers > 1 else ''}"
    messages.say(
        f"run {run_id}: {bucket.location} → {output.location}, model {counter.model_id}, {counter.provider}, {workers}"
    )
    return _Places(bucket, output, counter)


def s3_access(settings: Settings) -> S3Access:
    """How to reach the bucket."""
    return S3Access(settings.endpoint_url, settings.region, settings.profile, settings.no_sign_request)


def open_output(settings: Settings) -> Output:
    """<out>; unlike the bucket, it can never be anonymous."""
    access = S3Access(settings.endpoint_url, settings.region, settings.profile)
    return Output(open_bucket(_as_folder(settings.out), access, create=True))


def _as_folder(out: str) -> str:
    """A bare word is a folder here: nobody's first --out is the name of a bucket."""
    return out if "/" in out or out.startswith((".", "~")) else f"./{out}"


def _use_records_table(settings: Settings, night: Night, work: Path) -> None:
    if settings.records is not None:
        path = bring_file(settings.records, s3_access(settings), work)
        night.use_table_records(
            path, settings.records, settings.records_columns, only_of_images=settings.limit is not None
        )


def _count(settings: Settings, places: _Places, night: Night, summary: Summary, messages: Messages) -> None:
    bucket, output, counter = places
    with _timed(summary, "count"):
        backlog = night.backlog("images_to_count")
        backlog.fill(night.new_images(bucket.pages(settings.images_prefix), settings.limit))
        try:
            with messages.progress("counting", backlog) as advance:
                summary.counted = count_images(bucket, backlog, counter, output, settings.batch_size, advance)
        finally:
            backlog.close()
    summary.images = night.image_count
    if summary.images == 0:
        where = bucket.url(settings.images_prefix)
        raise ReconcileError(f"there are no images under {where}; is --images-prefix right?")
    summary.already_counted = summary.images - summary.counted
    if summary.counted:
        summary.images_per_second = round(summary.counted / summary.seconds["count"], 1)
    messages.say(
        f"{summary.counted:,} images counted in {summary.seconds['count']:.0f} s, "
        f"{summary.already_counted:,} were counted before",
        stage="count",
        counted=summary.counted,
        seconds=summary.seconds["count"],
    )


def _read_records(
    settings: Settings, bucket: Bucket, output: Output, night: Night, summary: Summary, messages: Messages
) -> None:
    if settings.records is not None:
        return
    with _timed(summary, "records"):
        backlog = night.backlog("records_to_read")
        pages = bucket.pages(settings.records_prefix)
        backlog.fill(night.new_records(pages, only_of_images=settings.limit is not None))
        try:
            with messages.progress("reading records", backlog) as advance:
                read = read_records(bucket, backlog, output, advance)
        finally:
            backlog.close()
    night.use_json_records()
    messages.say(f"{read:,} new records read in {summary.seconds['records']:.0f} s", stage="records", read=read)


def _finish(settings: Settings, places: _Places, night: Night, work: Path, summary: Summary) -> None:
    """Join, report, and last of all the summary: a run is finished when that is there."""
    output = places.output
    with _timed(summary, "reconcile"):
        night.reconcile(work / "reconciled.parquet")
        night.write_recount_list(work / "recount.csv")
        totals = night.table("totals")
        summary.totals = {str(status): int(bins) for status, bins in zip(totals["status"], totals["bins"], strict=True)}
        summary.rows = sum(summary.totals.values())
        summary.judge(settings.max_unreadable, settings.alarm)
    for name in ("reconciled.parquet", "recount.csv"):
        output.write_run_file(summary.run_id, name, work / name)
    with _timed(summary, "report"):
        html = render_report(night, places.bucket, summary)
    summary.report = output.write_run_file(summary.run_id, "report.html", html.encode())
    output.write_run_file(summary.run_id, "summary.json", json.dumps(summary.as_dict(), indent=2).encode())


@contextmanager
def _timed(summary: Summary, stage: str) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    finally:
        summary.seconds[stage] = round(time.monotonic() - started, 2)
