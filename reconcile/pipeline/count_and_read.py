"""Phase 2 of a run: count photos, and read records meanwhile."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from reconcile.concurrency.cancellation import Interrupted
from reconcile.pipeline.list_inputs import list_records, reads_while_counting
from reconcile.streaming.observers import log_stage
from reconcile.streaming.read_records import RecordReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconcile.inputs.backlog import Backlog
    from reconcile.output.summary import Summary
    from reconcile.pipeline.context import RunContext
    from reconcile.pipeline.list_inputs import RunInputs


def count_and_read(context: RunContext, inputs: RunInputs, summary: Summary) -> None:
    """Count the images and read the records. Afterwards the tables of the run are complete.

    Args:
        context: what the run needs.
        inputs: what was listed.
        summary: gets the numbers and times of this phase.

    Raises:
        ReconcileError: the listing or the engine fails, or a file cannot be read or written.
        Interrupted: a signal asked the run to stop. Finished counts and records are kept.
    """
    reading = _reading_records(context, inputs, summary) if reads_while_counting(context) else nullcontext()
    with context.log.shared_display(), reading:
        processed = _count(context, inputs.images, summary)
    summary.images = inputs.reconciler.image_count
    summary.already_counted = summary.images - processed
    if context.settings.records is not None:
        _log_table(context, inputs)
    elif not reads_while_counting(context):
        list_records(context, inputs)  # only now, because the images decide which records are needed
        with _reading_records(context, inputs, summary):
            pass
    counts, records = (
        context.output.local_parts(folder, inputs.scratch) for folder in (context.counts_folder, "records")
    )
    inputs.reconciler.update_parts(counts, records)


def _count(context: RunContext, images: Backlog, summary: Summary) -> int:
    """Count the images and return how many there were, including those that could not be read."""
    log = context.log
    with log_stage(log, "counting", images, "photos", "count") as observer:
        try:
            result = context.engine.count(images, context.bucket, context.output, observer)
        except Interrupted as stop:
            _log_stop(context, images, stop.kept, "photos", "count")
            raise
    summary.counted, summary.seconds["count"] = result.objects - result.failed, round(result.seconds, 2)
    if summary.counted:
        summary.images_per_second = round(result.objects / result.seconds, 1)
    log.info(
        f"{summary.counted:,} photos counted in {result.seconds:.1f} s, {result.failed:,} could not be read",
        stage="count",
        counted=summary.counted,
        unreadable=result.failed,
        seconds=summary.seconds["count"],
    )
    return result.objects


@contextmanager
def _reading_records(context: RunContext, inputs: RunInputs, summary: Summary) -> Iterator[None]:
    """Read the JSON records in the background, and wait for the last one at the end of the `with` block."""
    reader = RecordReader(context.bucket, inputs.records, context.output, context.log)
    try:
        yield
        result = reader.wait()
    except BaseException:
        kept = reader.stop()
        if kept is not None:
            _log_stop(context, inputs.records, kept, "records", "records")
        raise
    summary.seconds["records"] = round(result.seconds, 2)


def _log_table(context: RunContext, inputs: RunInputs) -> None:
    """Log how many rows the table of records has, and which of them are invalid."""
    invalid = 0
    with context.log.failures("rows", "records") as failed:
        for key, reason in inputs.reconciler.invalid_records():
            failed(key, reason)
            invalid += 1
    rows = inputs.reconciler.record_count
    context.log.info(
        f"{rows:,} rows read from {context.settings.records}, {invalid:,} are invalid",
        stage="records",
        read=rows,
        invalid=invalid,
    )


def _log_stop(context: RunContext, backlog: Backlog, kept: int, objects: str, stage: str) -> None:
    """Log how much of a stage is kept after a signal stopped it."""
    total = f"{backlog.total:,}" if backlog.is_complete else f"at least {backlog.total:,}"
    context.log.warn(f"stopped after {kept:,} of {total} {objects}; finished work is kept", stage=stage, kept=kept)
