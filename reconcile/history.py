"""Earlier runs over the same bucket, from the summaries they left."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from reconcile.store import Output
    from reconcile.summary import Summary

_MOST = 30


@dataclass(frozen=True)
class Night:
    """What one run came to, as far as runs are compared. None: that run did not say."""

    run_id: str
    started_at: str
    model_version: str
    rows: int
    compared: int
    agreement: float | None
    """Share of the compared bins of which photo and record give the same label."""
    expected_wrong: float | None
    record_accuracy: float | None
    short: int
    over: int
    no_record: int
    no_image: int
    unreadable: int
    invalid: int
    images_per_second: float | None


def night_of(summary: dict[str, Any]) -> Night:
    """The comparable part of a summary, as `Summary.as_dict` or summary.json has it."""
    totals = summary["totals"]
    compared = sum(totals[status] for status in ("match", "short", "over"))
    agreeing = summary.get("agreeing")
    return Night(
        run_id=summary["run_id"],
        started_at=summary["started_at"],
        model_version=summary["model_version"],
        rows=summary["rows"],
        compared=compared,
        agreement=agreeing / compared if compared and agreeing is not None else None,
        expected_wrong=(summary.get("expected_wrong") or {}).get("value"),
        record_accuracy=(summary.get("record_accuracy") or {}).get("value"),
        short=totals["short"],
        over=totals["over"],
        no_record=totals["no_record"],
        no_image=totals["no_image"],
        unreadable=totals["unreadable_image"],
        invalid=totals["invalid_record"],
        images_per_second=summary.get("images_per_second"),
    )


def earlier_nights(output: Output, summary: Summary, work: Path) -> list[Night]:
    """The last thirty finished runs over the same bucket that started before this one, the oldest first.

    A summary that cannot be understood (of another version, or not ours) is passed over: history is a courtesy, and no
    reason to lose tonight's report.

    Args:
        output: where the runs are.
        summary: this run's.
        work: a folder for copies of what lies on S3.
    """
    found = []
    # Run ids sort by time unless people chose their own, so not all of them need be read.
    for run_id in sorted(output.finished_runs(), reverse=True):
        path = output.local_run_file(run_id, "summary.json", work) if run_id != summary.run_id else None
        if path is None:
            continue
        try:
            other = json.loads(path.read_bytes())
            is_earlier = (other["started_at"], run_id) < (summary.started_at, summary.run_id)
            if other["bucket"] == summary.bucket and is_earlier:
                found.append(night_of(other))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        if len(found) == _MOST:
            break
    return sorted(found, key=lambda night: (night.started_at, night.run_id))
