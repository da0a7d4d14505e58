"""Exit codes of a finished run: a limit is reached exactly at its value."""

import pytest

from reconcile.output.summary import RunCounts, Summary
from reconcile.pipeline.exit_rules import ExitLimits, apply_exit_rules
from tests.unit.output.summaries import summary_of


def judged(
    summary: Summary,
    max_unreadable: float = 0.05,
    max_invalid: float = 0.05,
    max_blank: float | None = None,
    alarm: float | None = None,
):
    apply_exit_rules(summary, ExitLimits(max_unreadable, max_invalid, max_blank, alarm))
    return summary


def expecting(low: float, summary: Summary) -> Summary:
    """Return the summary with a number of wrong records at the lower end of the interval."""
    summary.expected_wrong = {"value": low + 4, "low": low, "high": low + 9}
    summary.counts = RunCounts(covered=summary.compared)
    return summary


@pytest.mark.parametrize("percent", [1, 7, 14, 28, 29, 55, 57, 58])
def test_alarm_starts_exactly_at_its_limit(percent):
    for wrong, code in ((percent, 4), (percent - 0.01, 0)):
        assert judged(expecting(wrong, summary_of(match=90, short=10)), alarm=percent / 100).exit_code == code


def test_disagreements_without_wrong_records_raise_no_alarm():
    assert judged(expecting(0.0, summary_of(match=44, short=56)), alarm=0.01).exit_code == 0


@pytest.mark.parametrize("percent", [5, 7, 14, 28, 29])
def test_unreadable_images_up_to_the_limit_are_allowed(percent):
    for broken, code in ((percent, 0), (percent + 1, 3)):
        summary = summary_of(match=100 - broken, unreadable_image=broken)
        assert judged(summary, max_unreadable=percent / 100).exit_code == code


@pytest.mark.parametrize("percent", [5, 7, 14, 28, 29])
def test_invalid_records_up_to_the_limit_are_allowed(percent):
    for broken, code in ((percent, 0), (percent + 1, 3)):
        summary = summary_of(match=100 - broken, invalid_record=broken, no_record=1000)
        summary.counts = RunCounts(records=100, invalid_records=broken)
        assert judged(summary, max_invalid=percent / 100).exit_code == code


@pytest.mark.parametrize("percent", [0, 5, 7, 29])
def test_blank_photos_up_to_the_limit_are_allowed(percent):
    for blank, code in ((percent, 0), (percent + 1, 3)):
        summary = summary_of(match=100)
        summary.counts = RunCounts(blank_or_identical=blank)
        assert judged(summary, max_blank=percent / 100).exit_code == code


def test_blank_photos_without_a_limit_are_allowed():
    summary = summary_of(match=100)
    summary.counts = RunCounts(blank_or_identical=100)
    assert judged(summary).exit_code == 0


def test_run_without_wrong_records_raises_no_alarm():
    assert judged(expecting(0.0, summary_of(match=3)), alarm=0.0).exit_code == 0
    assert judged(summary_of(match=3), alarm=0.0).exit_code == 0


def test_several_conditions_are_all_in_the_reason():
    summary = expecting(3.0, summary_of(match=6, short=2, over=1, unreadable_image=91))
    summary.counts = RunCounts(records=10, invalid_records=4, covered=9)
    judged(summary, alarm=0.3)
    assert (summary.exit_code, summary.exit_reason) == (
        3,
        "the run is complete, but 91 of 100 photos are unreadable (limit: 5%); 4 of 10 bins on record "
        "have invalid records (limit: 5%); at least 3 of 9 compared records are probably wrong (alarm: 30%)",
    )
