"""The summary that a run prints on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconcile.output.summary import STATUS_WORDS
from reconcile.text import percent, plural

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconcile.output.summary import Summary


def terminal_summary(summary: Summary) -> str:
    """Return the figures of a run as text, one line each, without a line break at the end.

    All words are ASCII, because the terminal of a server may not show other characters.

    Args:
        summary: the figures of the run.
    """
    lines = summary_lines(summary)
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines)


def summary_lines(summary: Summary) -> list[tuple[str, str]]:
    """Return the lines of the terminal summary, each with its name and its value.

    Args:
        summary: the figures of the run.
    """
    rate = "-" if summary.images_per_second is None else f"{summary.images_per_second:,.0f}"
    return [
        ("Bins", f"{summary.counts.bins:,}"),
        (
            "Photos counted",
            f"{summary.counted:,} in this run; {summary.already_counted:,} counted or unreadable in earlier runs",
        ),
        ("Photos per second", rate),
        *_statuses(summary),
        *_expectations(summary),
        *_recounts(summary),
        *_inbox(summary),
        ("Report", summary.report),
    ]


def _statuses(summary: Summary) -> list[tuple[str, str]]:
    values = {status: f"{summary.totals[status]:,}" for status in STATUS_WORDS}
    if summary.counts.older_photos:
        values["no_record"] += f", of which {summary.counts.older_photos:,} are older photos of a bin"
    return [(word.capitalize(), values[status]) for status, word in STATUS_WORDS.items()]


def _expectations(summary: Summary) -> list[tuple[str, str]]:
    if not (summary.expected_wrong and summary.expected_wrong_in_queue and summary.record_accuracy):
        return []
    accuracy = {name: percent(fraction) for name, fraction in summary.record_accuracy.items()}
    within = f" within {plural(summary.tolerance, 'item')}" if summary.tolerance else ""
    found = f"; recounts found {summary.found_wrong:,} of them" if summary.found_wrong else ""
    return [
        (
            "Records probably correct",
            f"{accuracy['value']}{within} (95% interval: {accuracy['low']} to {accuracy['high']})",
        ),
        ("Records probably wrong", _estimate(summary.expected_wrong) + found),
        (
            f"Probably wrong in the first {plural(summary.to_recount, 'bin')}",
            _estimate(summary.expected_wrong_in_queue),
        ),
    ]


def _recounts(summary: Summary) -> list[tuple[str, str]]:
    if not summary.recounts:
        return []
    bins, wrong, expected = (summary.recounts[name] for name in ("recounted", "wrong", "expected_wrong"))
    return [("Last recounts", f"{bins:,} bins, {wrong:,} records wrong, {expected:.1f} expected")]


def _inbox(summary: Summary) -> list[tuple[str, str]]:
    if not summary.inbox:
        return []
    imported, rejected = (sum(file[name] for file in summary.inbox) for name in ("imported", "rejected"))
    problems = sum(file["problem"] is not None for file in summary.inbox)
    text = f"{plural(len(summary.inbox), 'file')}, {plural(imported, 'verdict')} imported"
    text += f", {plural(rejected, 'line')} rejected" if rejected else ""
    return [("Inbox", text + (f", {plural(problems, 'file')} not imported" if problems else ""))]


def _estimate(estimate: Mapping[str, float]) -> str:
    return f"{estimate['value']:,.0f} (95% interval: {estimate['low']:,.0f} to {estimate['high']:,.0f})"
