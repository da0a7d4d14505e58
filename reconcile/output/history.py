"""Figures of earlier runs over the same bucket, from their summaries."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reconcile.errors import ReconcileError

if TYPE_CHECKING:
    from pathlib import Path

    from reconcile.output.store import Output
    from reconcile.output.summary import Summary


_MAX_RUNS = 30
NOT_A_SUMMARY = (ValueError, TypeError, AttributeError, LookupError, OverflowError, RecursionError)
"""What the content of a file raises that should be a summary and is none, or one of another version."""


@dataclass(frozen=True)
class RunFigures:
    """The figures by which runs are compared. A figure is None if the summary of the run lacks it."""

    run_id: str
    started_at: str
    model_version: str
    bins: int
    counted: int
    """Photos with a count."""
    agreement: float | None
    """Fraction of the compared bins in which photo and record have the same label."""
    expected_wrong: float | None
    """Expected number of wrong records among the compared bins."""
    record_accuracy: float | None
    """Estimated fraction of the compared records that are correct within the tolerance."""
    tolerance: int
    """Items by which a record may be off and still count as correct."""
    suspect: int | None
    """Bins that are worth a recount."""
    no_record: int
    """Without older photos of bins that have a newer one."""
    no_image: int
    unreadable: int
    invalid: int
    stale: int | None
    """None also if the run had no `--stale-after`."""
    images_per_second: float | None


def figures_of_run(summary: dict[str, Any]) -> RunFigures:
    """Return the figures in a summary.

    Args:
        summary: the result of `Summary.as_dict`, or the content of a summary.json.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: this is not a summary, or another version wrote it.
    """
    totals = {str(status): int(bins) for status, bins in summary["totals"].items()}
    compared = sum(totals[status] for status in ("match", "short", "over"))
    agreeing = _number(summary.get("agreeing"))
    return RunFigures(
        run_id=str(summary["run_id"]),
        started_at=str(summary["started_at"]),
        model_version=str(summary["model_version"]),
        bins=int(summary["bins"]),
        counted=int(summary["photos_counted"]),
        agreement=agreeing / compared if compared and agreeing is not None else None,
        expected_wrong=_number((summary.get("expected_wrong") or {}).get("value")),
        record_accuracy=_number((summary.get("record_accuracy") or {}).get("value")),
        tolerance=int(summary.get("tolerance", 0)),
        suspect=None if summary.get("suspect") is None else int(summary["suspect"]),
        no_record=totals["no_record"] - int(summary["older_photos"]),
        no_image=totals["no_image"],
        unreadable=totals["unreadable_image"],
        invalid=totals["invalid_record"],
        stale=totals["stale"] if "stale_after" in summary["parameters"] else None,
        images_per_second=_number(summary.get("images_per_second")),
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def earlier_runs(output: Output, summary: Summary, scratch: Path) -> list[RunFigures]:
    """Return the figures of the last thirty finished runs that started before this one, the oldest first.

    Only runs over the same photos count: a run with another `--limit` or another prefix of photos is left out. A
    summary that cannot be read, or that another version wrote, is skipped. The report must not fail because of history.

    Args:
        output: holds the runs.
        summary: the summary of this run.
        scratch: the folder for downloads from S3.
    """
    runs: list[RunFigures] = []
    for run_id in output.finished_runs():
        if run_id == summary.run_id:
            continue
        try:
            path = output.local_run_file(run_id, "summary.json", scratch)
            other = json.loads(path.read_bytes()) if path else {}
            is_earlier = (other["started_at"], run_id) < (summary.started_at, summary.run_id)
            if is_earlier and _same_photos(other, summary.as_dict()):
                runs.append(figures_of_run(other))
        except (ReconcileError, OSError, *NOT_A_SUMMARY):
            continue
        if len(runs) == _MAX_RUNS:
            break
    return sorted(runs, key=lambda run: (run.started_at, run.run_id))


def _same_photos(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether two summaries are about the same part of the same bucket."""
    return one["bucket"] == other["bucket"] and all(
        one["parameters"].get(name) == other["parameters"].get(name) for name in ("limit", "images_prefix")
    )
