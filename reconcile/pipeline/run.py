"""One night from beginning to end: count what is new, reconcile, report."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reconcile.concurrency.cancellation import Interrupted
from reconcile.errors import ReconcileError
from reconcile.inputs.listing import InputListing, log_listing
from reconcile.inputs.unit_costs import read_costs
from reconcile.output.lock import run_lock
from reconcile.output.scratch import scratch_folder
from reconcile.output.summary import Summary
from reconcile.pipeline.context import RunContext, open_run
from reconcile.pipeline.finalize import finish
from reconcile.reconciliation.reconciler import Reconciler
from reconcile.storage.open import download_file
from reconcile.streaming.read_records import RecordReader
from reconcile.text import exact_percent
from reconcile.verdicts.queries import FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconcile.config import Settings
    from reconcile.inputs.backlog import Backlog
    from reconcile.logs import RunLog


_NOT_IN_REPORT = {"log_format", "run_id"}


def run(settings: Settings, run_id: str, messages: RunLog, notice: str | None = None) -> Summary:
    """Count every image that this model has not counted, join with the records, write the night's results.

    Args:
        settings: what `reconcile run` was told.
        run_id: the folder under <out>/runs/.
        messages: where progress goes.
        notice: what everybody who reads the report has to know first.

    Returns:
        the numbers, as in summary.json, with the exit code that follows from them.

    Raises:
        ReconcileError: no bucket, no credentials, no model, no output, or another run is at work in it: in one line,
            before any work starts. Or the work itself cannot go on, for want of room, say.
        Interrupted: while counting or reading; another KeyboardInterrupt at any other time.
    """
    return run_over(open_run(settings, messages), settings, run_id, messages, notice)


def run_over(
    places: RunContext, settings: Settings, run_id: str, messages: RunLog, notice: str | None = None
) -> Summary:
    """The same, over what `open_places` opened."""
    started = datetime.now(UTC)
    with run_lock(places.output, run_id, messages.warn):
        return _run(settings, places, run_id, started, messages, notice)


def _run(
    settings: Settings, places: RunContext, run_id: str, started: datetime, messages: RunLog, notice: str | None
) -> Summary:
    """The run, once <out> is its own."""
    bucket, output, engine = places
    model = engine.model
    if output.has_finished(run_id):
        raise ReconcileError(f"run {run_id} is finished already; choose another --run-id")
    messages.info(
        f"run {run_id}: {bucket.location} → {output.location}, model {model.model_id}, {engine.device}, {engine.size}"
    )
    if settings.alarm:
        messages.info(f"alarm where {exact_percent(settings.alarm)} or more of the compared bins are short or over")
    summary = Summary(
        run_id=run_id,
        bucket=bucket.location,
        started_at=started.isoformat(timespec="seconds"),
        model_version=model.card.version,
        model_id=model.model_id,
        labels=list(model.card.labels.names),
        notice=notice,
        provider=engine.device,
        parameters={
            name: value
            for name, value in settings.model_dump(mode="json", exclude=_NOT_IN_REPORT).items()
            if value is not None and value is not False and value != {}
        }
        | {"out": output.location},  # wherever a command of the report is typed
    )
    _work(settings, places, summary, messages)
    return summary


def _work(settings: Settings, places: RunContext, summary: Summary, messages: RunLog) -> None:
    """Everything that takes time: list, count, read records, join, report."""
    model = places.engine.model
    counts_folder = f"counts/{model.model_id}"
    is_limited = settings.limit is not None
    reads_meanwhile = settings.records is None and not is_limited
    with scratch_folder() as work:
        output = places.output
        places.engine.resume(places.bucket, output)
        parts = (output.local_parts(counts_folder, work), output.local_parts("records", work))
        night = Reconciler(work, model.card.labels, *parts)
        images, records = night.backlog("images_to_count"), night.backlog("records_to_read")
        try:
            verdicts = output.local_parts(FOLDER, work)
            night.use_verdicts(verdicts)
            if settings.costs is not None:
                path = download_file(settings.costs, settings.s3_access(), work)
                night.use_costs(read_costs(path, settings.costs, messages.warn))
            if settings.records is not None:
                path = download_file(settings.records, settings.s3_access(), work)
                night.use_table_records(path, settings.records, settings.columns_of_table, only_of_images=is_limited)
            listing = InputListing(settings, places.bucket, work)
            if listing.keys is not None:
                messages.info(listing.keys.in_words(), stage="list")
            # Nothing is counted before it is sure that there are photos, and records to hold them against.
            photos = night.new_images(listing.photos(), settings.limit)
            images.fill(log_listing(photos, "photos", messages))
            if reads_meanwhile:
                listed = night.new_records(listing.records(), only_of_images=False)
                records.fill(log_listing(listed, "records", messages))
            listing.need_photos(images)
            if reads_meanwhile:
                listing.need_records(records)
            reading = _reading_records(places, records, summary, messages) if reads_meanwhile else nullcontext()
            with messages.together(), reading:
                taken = _count(settings, places, images, summary, messages)
            summary.images = night.image_count
            summary.already_counted = summary.images - taken
            if settings.records is None:
                if is_limited:  # which records are wanted is known only now
                    listed = night.new_records(listing.records(), only_of_images=True)
                    records.fill(log_listing(listed, "records", messages))
                    with _reading_records(places, records, summary, messages):
                        pass
                night.use_json_records()
            else:
                _name_invalid_rows(night, settings.records, messages)
            night.use_parts(output.local_parts(counts_folder, work), output.local_parts("records", work))
            finish(settings, places, night, verdicts, work, summary, messages)
        finally:
            images.close()
            records.close()
            night.close()


def _count(settings: Settings, places: RunContext, images: Backlog, summary: Summary, messages: RunLog) -> int:
    """Count, and say how many images were taken, unreadable ones included."""
    with (
        messages.failures("photos", "count") as complain,
        messages.progress("counting", images, stage="count") as advance,
    ):
        try:
            counted = places.engine.count(places.bucket, images, places.output, advance, complain)
        except Interrupted as stop:
            _tell_of_a_stop("photos counted", "count", images, stop.kept, messages)
            raise
    summary.counted, summary.seconds["count"] = counted.objects - counted.failed, round(counted.seconds, 2)
    if summary.counted:
        summary.images_per_second = round(counted.objects / counted.seconds, 1)
    messages.info(
        f"{summary.counted:,} images counted in {counted.seconds:.1f} s, {counted.failed:,} could not be read",
        stage="count",
        counted=summary.counted,
        unreadable=counted.failed,
        seconds=summary.seconds["count"],
    )
    return counted.objects


@contextmanager
def _reading_records(places: RunContext, records: Backlog, summary: Summary, messages: RunLog) -> Iterator[None]:
    """Read records while something else is done; at its end, wait for the rest."""
    reading = RecordReader(places.bucket, records, places.output, messages)
    try:
        yield
        read = reading.wait()
    except BaseException:
        kept = reading.stop()
        if kept is not None:
            _tell_of_a_stop("records read", "records", records, kept, messages)
        raise
    summary.seconds["records"] = round(read.seconds, 2)


def _name_invalid_rows(night: Reconciler, table: str, messages: RunLog) -> None:
    """Say how many rows were taken from a table, and which of them are no record; several of a bin are for the join."""
    invalid = 0
    with messages.failures("rows", "records") as complain:
        for key, reason in night.invalid_rows():
            complain(key, reason)
            invalid += 1
    rows = night.table_rows
    messages.info(
        f"{rows:,} rows taken from {table}, {invalid:,} of them could not be read",
        stage="records",
        read=rows,
        invalid=invalid,
    )


def _tell_of_a_stop(what: str, stage: str, backlog: Backlog, kept: int, messages: RunLog) -> None:
    total = f"{backlog.total:,}" if backlog.is_complete else f"at least {backlog.total:,}"
    messages.warn(f"stopped with {kept:,} of {total} {what} and kept", stage=stage, kept=kept)
