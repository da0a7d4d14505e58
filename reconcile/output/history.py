"""Earlier runs over the same bucket, from the summaries they left."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reconcile.errors import ReconcileError

if TYPE_CHECKING:
    from pathlib import Path

    from reconcile.output.store import Output
    from reconcile.output.summary import Summary


_MOST = 30


@dataclass(frozen=True)
class RunFigures:
    """What one run came to, as far as runs are compared. None: that run did not say."""

    run_id: str
    started_at: str
    model_version: str
    bins: int
    counted: int
    """Photos with a count."""
    agreement: float | None
    """Share of the compared bins of which photo and record give the same label."""
    expected_wrong: float | None
    record_accuracy: float | None
    tolerance: int
    short: int
    over: int
    no_record: int
    """But for older photos of bins that have a newer one."""
    no_image: int
    unreadable: int
    invalid: int
    stale: int | None
    """None also where that was not looked at."""
    images_per_second: float | None


def figures_of_run(summary: dict[str, Any]) -> RunFigures:
    """The comparable part of a summary, as `Summary.as_dict` or summary.json has it.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: it is none, or of another version.
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
        short=totals["short"],
        over=totals["over"],
        no_record=totals["no_record"] - int(summary["older_photos"]),
        no_image=totals["no_image"],
        unreadable=totals["unreadable_image"],
        invalid=totals["invalid_record"],
        stale=totals["stale"] if "stale_after" in summary["parameters"] else None,
        images_per_second=_number(summary.get("images_per_second")),
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def earlier_runs(output: Output, summary: Summary, work: Path) -> list[RunFigures]:
    """The last thirty finished runs over the same photos that started before this one, the oldest first.

    A trial on part of the bucket (`--limit`, another prefix) is no earlier night. A summary that cannot be read or
    understood (of another version, or not ours) is passed over: history is a courtesy, and no reason to lose tonight's
    report.

    Args:
        output: where the runs are.
        summary: this run's.
        work: a folder for copies of what lies on S3.
    """
    found = []
    for run_id in output.finished_runs():
        if run_id == summary.run_id:
            continue
        try:
            path = output.local_run_file(run_id, "summary.json", work)
            other = json.loads(path.read_bytes()) if path else {}
            is_earlier = (other["started_at"], run_id) < (summary.started_at, summary.run_id)
            if is_earlier and _same_photos(other, summary.as_dict()):
                found.append(figures_of_run(other))
        except (ReconcileError, OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        if len(found) == _MOST:
            break
    return sorted(found, key=lambda night: (night.started_at, night.run_id))


def _same_photos(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one["bucket"] == other["bucket"] and all(
        one["parameters"].get(name) == other["parameters"].get(name) for name in ("limit", "images_prefix")
    )
