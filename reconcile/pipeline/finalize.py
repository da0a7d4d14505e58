"""The end of a night: what was counted and what is on record are joined, judged, ranked and reported."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from reconcile.concurrency import cancellation
from reconcile.discrepancy.error_model import ErrorModel
from reconcile.discrepancy.error_model_fit import fit_error_model
from reconcile.discrepancy.expected_errors import estimate_wrong_records
from reconcile.discrepancy.scoring import DiscrepancyScorer
from reconcile.inputs.bin_ids import ids_rarely_match
from reconcile.output.history import earlier_runs
from reconcile.reconciliation.results import Results, plain_rows
from reconcile.reporting.run_report import render_report
from reconcile.verdicts.outcomes import last_recounts, recounts_for
from reconcile.verdicts.queries import latest_verdicts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconcile.config import Settings
    from reconcile.discrepancy.error_model_fit import FittedErrorModel
    from reconcile.logs import RunLog
    from reconcile.output.summary import Summary
    from reconcile.pipeline.context import RunContext
    from reconcile.reconciliation.reconciler import Reconciler


_LONGEST = 200
"""Characters of a reason, and of an example's key."""


def finish(
    settings: Settings,
    places: RunContext,
    night: Reconciler,
    verdicts: list[str],
    work: Path,
    summary: Summary,
    messages: RunLog,
) -> None:
    """Join, report, and last of all the summary: a run is finished when that is there."""
    output, labels = places.output, places.engine.model.card.labels
    with _timed(summary, "reconcile"):
        errors = _apply_exit_rules(settings, places, night, verdicts, work, summary)
        night.close()  # its tables have said all they know, and the report needs memory too
    with Results(work / "reconciled.parquet", labels, work) as results:
        with _timed(summary, "reconcile"):
            results.write_recount_list(work / "recount.csv", summary.run_id, settings.capacity)
            _sum_up(settings, results, errors, summary)
            _warn_on_id_mismatch(results, summary, messages)
            if settings.where is not None and not results.finds(settings.where):
                messages.warn(f"--where {settings.where}: found in no bin's id, and in no photo's key")
            unknown = results.without_value() if settings.rank_by == "value" else 0
            if unknown:
                messages.warn(
                    f"--rank-by value: {unknown:,} of {summary.queued:,} bins in the queue have no item whose cost is "
                    "known; they come last, by p wrong"
                )
            untold = 0 if settings.stale_after is None else results.without_times()
            if untold:
                messages.warn(
                    f"--stale-after: of {untold:,} of {summary.compared:,} compared bins it is not known when photo or "
                    "record changed"
                )
            for name in ("reconciled.parquet", "recount.csv"):
                output.write_run_file(summary.run_id, name, work / name)
        _tell_of_the_end(f"{summary.rows:,} rows reconciled", "reconcile", summary, messages)
        with _timed(summary, "report"):
            html = render_report(results, places.bucket, summary, earlier_runs(output, summary, work))
    summary.report = output.write_run_file(summary.run_id, "report.html", html.encode())
    _tell_of_the_end("report rendered", "report", summary, messages)
    cancellation.raise_if_cancelled()  # a lock that was lost while something was written, say
    output.write_run_file(summary.run_id, "summary.json", json.dumps(summary.as_dict(), indent=2).encode())


def _apply_exit_rules(
    settings: Settings, places: RunContext, night: Reconciler, verdicts: list[str], work: Path, summary: Summary
) -> FittedErrorModel:
    """Learn from the recounts so far, then judge and rank every bin."""
    card = places.engine.model.card
    latest = latest_verdicts(verdicts, work)
    recounts = recounts_for(card.labels, latest)
    errors = fit_error_model(ErrorModel(rate=settings.record_error_rate), recounts, card.labels)
    judge = DiscrepancyScorer(card.labels, card.class_prior, errors, settings.tolerance)
    found = last_recounts(summary.bucket, latest)
    summary.recounts = None if found is None else found.as_dict()
    del latest  # a kilobyte each, and the join needs the memory
    mix = night.reconcile(work / "reconciled.parquet", judge, settings.rank_by, settings.stale_after)
    summary.mix = None if mix is None else [round(float(share), 5) for share in mix]
    summary.class_prior = list(card.class_prior)
    summary.learned_from = 0 if recounts is None else len(recounts.counted)
    return errors


def _sum_up(settings: Settings, results: Results, errors: FittedErrorModel, summary: Summary) -> None:
    """The numbers of the night, and the exit code that follows from them."""
    totals = results.table("figures/status_totals")
    summary.totals = {str(status): int(bins) for status, bins in zip(totals["status"], totals["bins"], strict=True)}
    summary.rows = sum(summary.totals.values())
    summary.capacity, summary.rank_by, summary.tolerance = settings.capacity, settings.rank_by, settings.tolerance
    summary.record_error_rate = round(errors.model.rate, 4)
    for name, number in results.table("figures/run_counts").iloc[0].items():
        setattr(summary, str(name), int(number))
    bins = results.batches("figures/error_probabilities", tolerance=settings.tolerance)
    expected = estimate_wrong_records(bins, errors, settings.capacity)
    if expected is not None:
        summary.expected_wrong = expected.wrong.as_dict()
        summary.expected_wrong_in_queue = expected.wrong_in_queue.as_dict()
        summary.found_wrong = expected.found_wrong
        summary.record_accuracy = expected.accuracy.as_dict()
    limits = settings.max_unreadable, settings.max_invalid, settings.alarm
    summary.judge(*limits, lambda status: _example(results, status))


def _example(results: Results, status: str) -> str:
    """What the reason of an exit code goes on with: why most rows have that status, and one of them, if any has it."""
    if status == "no_record":
        return f": {_unmatched(results)}"
    found = [row for row in plain_rows(results.table("figures/reasons", most=1)) if row["status"] == status]
    return "".join(f"; {_short(row['reason'])}, such as {_short(row['examples'][0])}" for row in found)


def _short(text: str) -> str:
    """A bin may have thousands of records, and the reason is one line of a log."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"


def _warn_on_id_mismatch(results: Results, summary: Summary, messages: RunLog) -> None:
    """Say so where hardly any photo and record are of the same bin: the few may be so by chance."""
    # With --limit, records of other bins were not taken.
    alone = summary.without_record if summary.is_limited else min(summary.without_record, summary.totals["no_image"])
    if summary.compared and ids_rarely_match(summary.compared, alone):
        bins = "bin" if summary.compared == 1 else "bins"
        said = f"only {summary.compared:,} {bins} could be compared; do the ids of photos and records agree?"
        messages.warn(f"{said} {_unmatched(results)}")


def _unmatched(results: Results) -> str:
    """A photo without a record and a record without a photo, side by side; of records, there may be none to show."""
    photo, record = results.table("figures/unmatched").iloc[0]
    return f"photos such as {photo}" + (f", records such as {record}" if isinstance(record, str) else " have no record")


@contextmanager
def _timed(summary: Summary, stage: str) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    finally:
        summary.seconds[stage] = round(summary.seconds.get(stage, 0.0) + time.monotonic() - started, 2)


def _tell_of_the_end(what: str, stage: str, summary: Summary, messages: RunLog) -> None:
    seconds = summary.seconds[stage]
    messages.info(f"{what} in {seconds:.1f} s", stage=stage, seconds=seconds)
