"""Run the whole pipeline: import the inbox, list, count, read records, reconcile, report."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reconcile.errors import ReconcileError
from reconcile.output.lock import run_lock
from reconcile.output.scratch import scratch_folder
from reconcile.output.summary import Summary
from reconcile.pipeline.count_and_read import count_and_read
from reconcile.pipeline.inbox import import_verdict_files
from reconcile.pipeline.list_inputs import list_inputs
from reconcile.pipeline.publish import publish
from reconcile.pipeline.reconcile import reconcile
from reconcile.text import exact_percent

if TYPE_CHECKING:
    from reconcile.pipeline.context import RunContext


_NOT_IN_REPORT = {"log_format", "run_id"}
"""Settings that the report does not show."""


def run(context: RunContext, notice: str | None = None) -> Summary:
    """Count the images that this model has not counted yet, compare all counts with the records, and write the results.

    Args:
        context: what the run needs, from `open_run`.
        notice: a sentence that the report shows first.

    Returns:
        the figures of the run, as in summary.json. They include the exit code.

    Raises:
        ReconcileError: another run is using `<out>`, a run with this id has finished, or the run fails, for example
            because a disk is full.
        Interrupted: a signal asked the run to stop while it was counting or reading. Finished counts are kept.
        KeyboardInterrupt: a signal asked the run to stop at another time.
    """
    started = datetime.now(UTC)
    with scratch_folder() as scratch, run_lock(context.output, context.run_id, context.log.warn):
        summary = _start(context, started, notice)
        import_verdict_files(context, scratch, summary)
        with list_inputs(context, scratch) as inputs:
            count_and_read(context, inputs, summary)
            errors = reconcile(context, inputs, summary)
        publish(context, scratch, errors, summary)
    return summary


def _start(context: RunContext, started: datetime, notice: str | None) -> Summary:
    """Check that the run id is free, log what the run is about to do, and return its summary."""
    settings, engine, output, log = context.settings, context.engine, context.output, context.log
    model = engine.model
    if output.has_finished(context.run_id):
        raise ReconcileError(f"run {context.run_id} has finished already; choose another --run-id")
    records = "" if settings.records is None else f", records from {settings.records}"
    log.info(
        f"run {context.run_id}: photos from {context.bucket.location}{records}, results to {output.location}, "
        f"model {model.model_id} on {engine.device} ({engine.size})"
    )
    for opened in (context.bucket, output.bucket):
        if opened.address is not None:
            log.info(f"{opened.location} is at {opened.address}")
    if settings.alarm:
        log.info(f"the alarm is set to {exact_percent(settings.alarm)} of wrong records")
    parameters = {
        name: value
        for name, value in settings.model_dump(mode="json", exclude=_NOT_IN_REPORT).items()
        if value is not None and value is not False and value != {}
    }
    return Summary(
        run_id=context.run_id,
        bucket=context.bucket.location,
        started_at=started.isoformat(timespec="seconds"),
        model_version=model.card.version,
        model_id=model.model_id,
        labels=list(model.card.labels.names),
        notice=notice,
        provider=engine.device,
        # The absolute location, because a command from the report may be run in any folder.
        parameters=parameters | {"out": output.location},
        capacity=settings.capacity,
        rank_by=settings.rank_by,
        tolerance=settings.tolerance,
    )
