"""The summary that `reconcile run` prints on the terminal."""

from dataclasses import replace

from reconcile.reporting.terminal_summary import summary_lines, terminal_summary
from tests.unit.output.summaries import summary_of


def test_summary_shows_how_many_records_are_probably_wrong():
    summary = summary_of(match=90, short=8, over=2)
    summary.capacity, summary.counts = 1200, replace(summary.counts, queued=1300)
    summary.expected_wrong = {"value": 11.4, "low": 6.0, "high": 18.0}
    summary.expected_wrong_in_queue = {"value": 1050.2, "low": 1001.0, "high": 1100.0}
    summary.record_accuracy = {"value": 0.886, "low": 0.82, "high": 0.94}
    lines = dict(summary_lines(summary))
    assert (lines["Match"], lines["Short"], lines["Over"]) == ("90", "8", "2")
    assert lines["Records probably correct"] == "88.6% (95% interval: 82.0% to 94.0%)"
    assert lines["Records probably wrong"] == "11 (95% interval: 6 to 18)"
    assert lines["Probably wrong in the first 1,200 bins"] == "1,050 (95% interval: 1,001 to 1,100)"
    summary.found_wrong, summary.tolerance = 3, 1
    lines = dict(summary_lines(summary))
    assert lines["Records probably wrong"] == "11 (95% interval: 6 to 18); recounts found 3 of them"
    assert lines["Records probably correct"] == "88.6% within 1 item (95% interval: 82.0% to 94.0%)"


def test_photos_without_a_record_include_older_photos():
    summary = summary_of(match=3, no_record=1200)
    assert dict(summary_lines(summary))["No record"] == "1,200"
    summary.counts = replace(summary.counts, older_photos=1100)
    assert dict(summary_lines(summary))["No record"] == "1,200, of which 1,100 are older photos of a bin"


def test_no_estimate_is_shown_when_nothing_was_compared():
    assert not [name for name, _ in summary_lines(summary_of(no_record=3)) if "probably" in name.lower()]


def test_values_start_in_the_same_column():
    summary = summary_of(match=3)
    summary.recounts = {"recounted": 40, "wrong": 12, "expected_wrong": 11.26}
    text = terminal_summary(summary)
    assert text.isascii()
    lines = text.splitlines()
    assert "Photos per second  -" in lines
    assert "Last recounts      40 bins, 12 records wrong, 11.3 expected" in lines
