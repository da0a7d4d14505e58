"""Earlier runs: which of them are told, and that none of them can spoil tonight's report."""

import json
import os

from reconcile.output.history import earlier_runs, figures_of_run
from reconcile.output.store import Output
from reconcile.output.summary import RunCounts, Summary
from reconcile.reporting.charts import history_chart
from reconcile.reporting.overview import overview
from reconcile.storage.base import S3Access
from reconcile.storage.open import open_bucket


def summary(run_id: str, started_at: str, **changes) -> Summary:
    statuses = ("match", "short", "over", "no_record", "no_image", "unreadable_image", "invalid_record", "stale")
    made = Summary(run_id, "s3://bins", started_at, "1", "1-x", ["0", "1+"], "CPU", totals=dict.fromkeys(statuses, 0))
    made.totals |= {"match": 8, "over": 2}
    made.rows, made.counts = 10, RunCounts(bins=10, agreeing=4)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def write(output, folder, made, minute):
    """A finished run's summary, written at its minute."""
    output.write_run_file(made.run_id, "summary.json", json.dumps(made.as_dict()).encode())
    os.utime(folder / "out" / "runs" / made.run_id / "summary.json", (1.8e9 + 60 * minute,) * 2)


def test_runs_over_the_same_bucket_that_started_before_the_oldest_first(tmp_path):
    output = Output(open_bucket(f"{tmp_path}/out", S3Access(), create=True))
    names = [f"n{number}" for number in range(40)]  # n9 sorts after n10: people name runs as they like
    for number, name in enumerate(names):
        made = summary(name, f"2026-01-{number // 2 + 1:02d}T{number % 2 * 12:02d}:00:00+00:00")
        write(output, tmp_path, made, number)
    write(output, tmp_path, summary("other", "2026-01-18T01:00:00+00:00", bucket="s3://other"), 50)
    write(output, tmp_path, summary("trial", "2026-01-18T02:00:00+00:00", parameters={"limit": 5}), 51)
    strange = summary("strange", "2026-01-18T03:00:00+00:00", images_per_second="fast")
    write(output, tmp_path, strange, 52)
    for run_id, content in (("n11x", b"{broken"), ("n12x", b"[]"), ("n13x", b'{"bucket": "s3://bins"}')):
        output.write_run_file(run_id, "summary.json", content)
    output.write_run_file("n14x", "report.html", b"a run that never finished")
    found = earlier_runs(output, summary("n36", "2026-01-19T00:00:00+00:00"), tmp_path)
    assert [night.run_id for night in found] == names[6:36]
    assert found[-1].agreement == 0.4
    assert (found[-1].short, found[-1].over) == (0, 2)


def test_a_summary_of_an_older_version_lacks_figures_and_no_more(tmp_path):
    output = Output(open_bucket(f"{tmp_path}/out", S3Access(), create=True))
    old = summary("old", "2026-01-01T00:00:00+00:00").as_dict()
    for name in ("agreeing", "expected_wrong", "record_accuracy"):
        del old[name]
    output.write_run_file("old", "summary.json", json.dumps(old).encode())
    tonight = summary("new", "2026-01-02T00:00:00+00:00")
    [night] = earlier_runs(output, tonight, tmp_path)
    assert (night.bins, night.agreement, night.expected_wrong) == (10, None, None)
    tiles = {tile.name: tile for tile in overview(tonight, night)["figures"]}
    assert tiles["bins"].before == "10"
    assert tiles["photo agrees with record"].before is None
    assert tiles["photo agrees with record"].value == "40.0%"


def test_a_night_in_which_nothing_was_compared_is_no_night_without_discrepancies():
    nights = [summary(f"n{day}", f"2026-01-{day:02d}T00:00:00+00:00") for day in (1, 2)]
    assert "short and over" in history_chart([figures_of_run(night.as_dict()) for night in nights])
    for night in nights:
        night.totals |= {"match": 0, "over": 0, "invalid_record": 10}
    assert "short and over" not in history_chart([figures_of_run(night.as_dict()) for night in nights])
