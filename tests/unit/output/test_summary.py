"""Exit codes: thresholds mean what they say; and what is printed at the end of a run."""

import pytest

from reconcile.output.summary import Summary


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
        judged.judge(0.05, 0.05, percent / 100)
        assert judged.exit_code == code


@pytest.mark.parametrize("percent", [5, 7, 14, 28, 29])
def test_as_many_unreadable_as_allowed_are_allowed(percent):
    for broken, code in ((percent, 0), (percent + 1, 3)):
        judged = summary(match=100 - broken, unreadable_image=broken)
        judged.judge(percent / 100, 0.05, None)
        assert judged.exit_code == code


@pytest.mark.parametrize("percent", [5, 7, 14, 28, 29])
def test_as_many_invalid_records_as_allowed_are_allowed(percent):
    for broken, code in ((percent, 0), (percent + 1, 3)):
        judged = summary(match=100 - broken, invalid_record=broken, no_record=1000)
        judged.records, judged.invalid_records = 100, broken
        judged.judge(0.05, percent / 100, None)
        assert judged.exit_code == code


def test_no_discrepancy_is_no_alarm():
    judged = summary(match=3)
    judged.judge(0.05, 0.05, 0.0)
    assert judged.exit_code == 0


def test_what_is_printed_says_how_many_records_to_expect_wrong_and_where():
    told = summary(match=90, short=8, over=2)
    told.capacity, told.queued = 1200, 1300
    told.expected_wrong = {"value": 11.4, "low": 6.0, "high": 18.0}
    told.expected_wrong_in_queue = {"value": 1050.2, "low": 1001.0, "high": 1100.0}
    told.record_accuracy = {"value": 0.886, "low": 0.82, "high": 0.94}
    lines = dict(told.lines())
    assert (lines["match"], lines["short"], lines["over"]) == ("90", "8", "2")
    assert lines["records right"] == "88.6 % (95 %: 82.0 to 94.0)"
    assert lines["records wrong"] == "11 expected (95 %: 6 to 18)"
    assert lines["of the first 1,200"] == "1,050 expected (95 %: 1,001 to 1,100)"


def test_older_photos_are_told_from_photos_without_a_record():
    told = summary(match=3, no_record=1200)
    assert dict(told.lines())["no record"] == "1,200"
    told.older_photos = 1100
    assert dict(told.lines())["no record"] == "1,200, 1,100 of them older photos of a bin"


def test_where_nothing_was_compared_nothing_is_expected():
    assert not [name for name, _ in summary(no_record=3).lines() if name.startswith(("records", "among"))]
