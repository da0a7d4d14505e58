"""Exit codes: thresholds mean what they say."""

import pytest

from reconcile.summary import Summary


def summary(**totals: int) -> Summary:
    every = dict.fromkeys(
        ("match", "short", "over", "no_record", "no_image", "unreadable_image", "invalid_record", "stale"), 0
    )
    made = Summary("r", "b", "now", "1", "1-x", ["0", "1+"], "CPU", totals=every | totals)
    made.images = made.rows = sum(totals.values())
    return made


@pytest.mark.parametrize("percent", [1, 7, 14, 28, 29, 55, 57, 58])
def test_the_alarm_is_reached_at_its_very_share(percent):
    for short, code in ((percent, 4), (percent - 1, 0)):
        judged = summary(match=100 - short, short=short)
        judged.judge(0.05, percent / 100)
        assert judged.exit_code == code


@pytest.mark.parametrize("percent", [5, 7, 14, 28, 29])
def test_as_many_unreadable_as_allowed_are_allowed(percent):
    for broken, code in ((percent, 0), (percent + 1, 3)):
        judged = summary(match=100 - broken, unreadable_image=broken)
        judged.judge(percent / 100, None)
        assert judged.exit_code == code


def test_no_discrepancy_is_no_alarm():
    judged = summary(match=3)
    judged.judge(0.05, 0.0)
    assert judged.exit_code == 0
