"""Phase 4 of a run: write the results to `<out>`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from reconcile.concurrency import cancellation
from reconcile.discrepancy.expected_errors import estimate_wrong_records
from reconcile.output.history import earlier_runs
from reconcile.output.summary import RunCounts
from reconcile.pipeline.exit_rules import ExitLimits, apply_exit_rules
from reconcile.pipeline.reconcile import RECONCILED
from reconcile.pipeline.run_warnings import unmatched_ids, warn
from reconcile.pipeline.thumbnails import fetch_thumbnails
from reconcile.reconciliation.results import Results, plain_rows
from reconcile.reporting.recount_queue import shown_queue
from reconcile.reporting.run_report import render_report

if TYPE_CHECKING:
    from pathlib import Path

    from reconcile.discrepancy.error_model_fit import FittedErrorModel
    from reconcile.output.summary import Summary
    from reconcile.pipeline.context import RunContext


_RECOUNT_LIST, _COUNT_TASKS = "recount.csv", "recount.jsonl"
_MAX_EXAMPLE = 200
"""Characters of a reason or of an example in the exit reason. A bin may have thousands of records."""


def publish(context: RunContext, scratch: Path, errors: FittedErrorModel, summary: Summary) -> None:
    """Write the results of a run to `<out>`. summary.json comes last, so a run that has it is complete.

    Args:
        context: what the run needs.
        scratch: the folder with reconciled.parquet.
        errors: the error model from which the scores were computed.
        summary: gets the figures, the exit code and the location of the report.
    """
    output = context.output
    with Results(scratch / RECONCILED, context.engine.model.card.labels, scratch) as results:
        with summary.timed("reconcile"):
            lists = _write_recount_lists(context, scratch, results)
            _add_figures(context, results, errors, summary)
            warn(context, results, summary)
            for name in (RECONCILED, *lists):
                output.write_run_file(context.run_id, name, scratch / name)
        _log_end(context, f"{summary.rows:,} rows reconciled", "reconcile", summary)
        with summary.timed("report"):
            queue = shown_queue(results, summary.capacity)
            photos = fetch_thumbnails(context.bucket, queue)
            html = render_report(results, queue, photos, summary, earlier_runs(output, summary, scratch))
    summary.report = output.write_run_file(context.run_id, "report.html", html.encode())
    _log_end(context, "report rendered", "report", summary)
    cancellation.raise_if_cancelled()  # the run may have lost its lock while it wrote the files
    output.write_run_file(context.run_id, "summary.json", json.dumps(summary.as_dict(), indent=2).encode())


def _write_recount_lists(context: RunContext, scratch: Path, results: Results) -> list[str]:
    """Write the recount list to the scratch folder in each format of the settings. Return the names of the files."""
    settings = context.settings
    writers = {_RECOUNT_LIST: results.write_recount_list, _COUNT_TASKS: results.write_count_tasks}
    names = [name for name in writers if settings.recount_format in (name.removeprefix("recount."), "both")]
    for name in names:
        writers[name](scratch / name, context.run_id, settings.capacity, settings.where)
    return names


def _add_figures(context: RunContext, results: Results, errors: FittedErrorModel, summary: Summary) -> None:
    """Add the figures of the reconciled rows to the summary, and the exit code that follows from them."""
    settings = context.settings
    totals = results.table("figures/status_totals")
    summary.totals = {str(status): int(bins) for status, bins in zip(totals["status"], totals["bins"], strict=True)}
    summary.rows = sum(summary.totals.values())
    summary.record_error_rate = round(errors.model.rate, 4)
    counts = results.table("figures/run_counts").iloc[0]
    summary.counts = RunCounts(**{str(name): int(number) for name, number in counts.items()})
    bins = results.batches("figures/error_probabilities", tolerance=settings.tolerance)
    estimates = estimate_wrong_records(bins, errors, settings.capacity)
    if estimates is not None:
        summary.expected_wrong = estimates.wrong.as_dict()
        summary.expected_wrong_in_queue = estimates.wrong_in_queue.as_dict()
        summary.found_wrong = estimates.found_wrong
        summary.record_accuracy = estimates.accuracy.as_dict()
    limits = ExitLimits(settings.max_unreadable, settings.max_invalid, settings.max_blank, settings.alarm)
    apply_exit_rules(summary, limits, lambda status: _example_of(results, status))


def _example_of(results: Results, status: str) -> str:
    """Return the most frequent reason for a status with an example, as a part of the exit reason."""
    if status == "no_record":
        return f" ({unmatched_ids(results)})"
    reasons = [row for row in plain_rows(results.table("figures/reasons", most=1)) if row["status"] == status]
    return "".join(
        f"; most frequent reason: {_shorten(row['reason'])}, for example {_shorten(row['examples'][0])}"
        for row in reasons
    )


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_EXAMPLE else f"{text[:_MAX_EXAMPLE]} …"


def _log_end(context: RunContext, done: str, stage: str, summary: Summary) -> None:
    seconds = summary.seconds[stage]
    context.log.info(f"{done} in {seconds:.1f} s", stage=stage, seconds=seconds)
