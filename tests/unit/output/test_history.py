"""Earlier runs: which runs the history has, and that no summary can make the report fail."""

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
    run = Summary(run_id, "s3://bins", started_at, "1", "1-x", ["0", "1+"], "CPU", totals=dict.fromkeys(statuses, 0))
    run.totals |= {"match": 8, "over": 2}
    run.rows, run.counts = 10, RunCounts(bins=10, agreeing=4, suspect=3)
    for name, value in changes.items():
        setattr(run, name, value)
    return run


def write(output, folder, run, minute):
    """Write the summary of a finished run, as of this minute."""
    output.write_run_file(run.run_id, "summary.json", json.dumps(run.as_dict()).encode())
    os.utime(folder / "out" / "runs" / run.run_id / "summary.json", (1.8e9 + 60 * minute,) * 2)


def test_history_has_thirty_earlier_runs_over_the_same_photos(tmp_path):
    output = Output(open_bucket(f"{tmp_path}/out", S3Access(), create=True))
    names = [f"n{number}" for number in range(40)]  # n9 sorts after n10: people name runs as they like
    for number, name in enumerate(names):
        run = summary(name, f"2026-01-{number // 2 + 1:02d}T{number % 2 * 12:02d}:00:00+00:00")
        write(output, tmp_path, run, number)
    write(output, tmp_path, summary("other", "2026-01-18T01:00:00+00:00", bucket="s3://other"), 50)
    write(output, tmp_path, summary("trial", "2026-01-18T02:00:00+00:00", parameters={"limit": 5}), 51)
    strange = summary("strange", "2026-01-18T03:00:00+00:00", images_per_second="fast")
    write(output, tmp_path, strange, 52)
    write(output, tmp_path, summary("endless", "2026-01-18T04:00:00+00:00", totals={"match": float("inf")}), 53)
    output.write_run_file("deep", "summary.json", b"[" * 100_000)
    for run_id, content in (("n11x", b"{broken"), ("n12x", b"[]"), ("n13x", b'{"bucket": "s3://bins"}')):
        output.write_run_file(run_id, "summary.json", content)
    output.write_run_file("n14x", "report.html", b"a run that never finished")
    runs = earlier_runs(output, summary("n36", "2026-01-19T00:00:00+00:00"), tmp_path)
    assert [run.run_id for run in runs] == names[6:36]
    assert runs[-1].agreement == 0.4
    assert runs[-1].suspect == 3


def test_older_summary_lacks_only_the_new_figures(tmp_path):
    output = Output(open_bucket(f"{tmp_path}/out", S3Access(), create=True))
    old = summary("old", "2026-01-01T00:00:00+00:00").as_dict()
    for name in ("agreeing", "suspect", "expected_wrong", "record_accuracy"):
        del old[name]
    output.write_run_file("old", "summary.json", json.dumps(old).encode())
    new = summary("new", "2026-01-02T00:00:00+00:00")
    [earlier] = earlier_runs(output, new, tmp_path)
    assert (earlier.bins, earlier.agreement, earlier.suspect, earlier.expected_wrong) == (10, None, None, None)
    tiles = {tile.name: tile for tile in overview(new, earlier)["figures"]}
    assert tiles["bins"].before == "10"
    assert tiles["photo agrees with record"].before is None
    assert tiles["photo agrees with record"].value == "40.0%"


def test_history_chart_leaves_out_runs_without_comparisons():
    runs = [summary(f"n{day}", f"2026-01-{day:02d}T00:00:00+00:00") for day in (1, 2)]
    assert "bins worth a recount" in history_chart([figures_of_run(run.as_dict()) for run in runs])
    for run in runs:
        run.totals |= {"match": 0, "over": 0, "invalid_record": 10}
    assert "bins worth a recount" not in history_chart([figures_of_run(run.as_dict()) for run in runs])
