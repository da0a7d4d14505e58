"""The exit code of a finished run, and the reason for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconcile.text import exact_percent

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconcile.output.summary import Summary


EXIT_FAILED, EXIT_BAD_INPUT, EXIT_ALARM = 1, 3, 4
_COMPLETE = "the run is complete, but "
"""The beginning of each reason, because people often read only the last line of a log."""
_ROUNDING = 1e-9
"""Floating point must not decide whether 7 of 100 bins reach a limit of 7 %."""


@dataclass(frozen=True)
class ExitLimits:
    """The limits that decide the exit code, as fractions."""

    max_unreadable: float
    """The largest fraction of unreadable images."""
    max_invalid: float
    """The largest fraction of invalid records, of the bins on record."""
    max_blank: float | None
    """The largest fraction of photos that are blank or identical to another photo. None for no limit."""
    alarm: float | None
    """The fraction of wrong records that raises the alarm. None for no alarm.

    It is compared with the lower end of the 95 % interval of the expected fraction. Chance alone seldom raises it."""


def apply_exit_rules(summary: Summary, limits: ExitLimits, example_of: Callable[[str], str] = lambda _: "") -> None:
    """Set the exit code and the reason of a run. They stay as they are if no condition applies.

    If several conditions apply, the reason lists all of them. The first one in this order sets the exit code:

    1. too many unreadable images (3)
    2. too many blank or identical photos (3)
    3. nothing could be compared (1)
    4. too many invalid records (3)
    5. the alarm (4)

    Args:
        summary: the figures of the run, which is changed.
        limits: the limits of the run.
        example_of: called with a status that is part of the reason. Returns why most rows have this status, with an
            example, or an empty text.
    """
    unreadable, invalid = summary.totals["unreadable_image"], summary.counts.invalid_records
    conditions: list[tuple[int, str]] = []
    if unreadable > limits.max_unreadable * summary.images + _ROUNDING:
        limit = exact_percent(limits.max_unreadable)
        reason = f"{unreadable:,} of {summary.images:,} photos are unreadable (limit: {limit})"
        conditions.append((EXIT_BAD_INPUT, reason + example_of("unreadable_image")))
    odd = summary.counts.blank_or_identical
    if limits.max_blank is not None and odd > limits.max_blank * summary.images + _ROUNDING:
        reason = f"{odd:,} of {summary.images:,} photos are blank or identical to another photo"
        conditions.append((EXIT_BAD_INPUT, f"{reason} (limit: {exact_percent(limits.max_blank)})"))
    if summary.compared == 0 and any((summary.without_record, invalid, summary.totals["stale"])):
        conditions.append((EXIT_FAILED, _why_nothing_is_compared(summary, example_of)))
    elif invalid > limits.max_invalid * summary.counts.records + _ROUNDING:
        reason = f"{_invalid_records(summary)} (limit: {exact_percent(limits.max_invalid)})"
        conditions.append((EXIT_BAD_INPUT, reason + example_of("invalid_record")))
    wrong, covered, alarm = (summary.expected_wrong or {}).get("low", 0.0), summary.counts.covered, limits.alarm
    if alarm is not None and wrong and wrong >= alarm * covered - _ROUNDING:
        reason = f"at least {wrong:,.0f} of {covered:,} compared records are probably wrong"
        conditions.append((EXIT_ALARM, f"{reason} (alarm: {exact_percent(alarm)})"))
    if conditions:
        summary.exit_code = conditions[0][0]
        summary.exit_reason = _COMPLETE + "; ".join(reason for _, reason in conditions)


def _invalid_records(summary: Summary) -> str:
    return f"{summary.counts.invalid_records:,} of {summary.counts.records:,} bins on record have invalid records"


def _why_nothing_is_compared(summary: Summary, example_of: Callable[[str], str]) -> str:
    if not summary.counts.records and not summary.is_limited:
        cause = "there are no records"
    elif not summary.counts.met:
        cause = "no photo and record have the same bin id"
    else:
        cause = "no readable photo has a record that can be compared with it"
    reason = f"nothing could be compared: {cause}"
    if summary.without_record and not summary.counts.met:
        reason += example_of("no_record")
    if summary.counts.invalid_records:
        reason += f"; {_invalid_records(summary)}{example_of('invalid_record')}"
    if summary.totals["stale"]:
        reason += f"; {summary.totals['stale']:,} records changed after the photo (--stale-after)"
    return reason
