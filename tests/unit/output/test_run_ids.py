"""How runs are named: by id, or by the path of what they left."""

import pytest

from reconcile.output.run_ids import is_rewritten_by_spreadsheets, new_run_id, out_and_run_id


@pytest.mark.parametrize(
    "named",
    [
        "{}/out/runs/a",
        "{}/out/runs/a/",
        "{}/out/runs//a//report.html",
        "out/runs/a",
        "./out/runs/a/summary.json",
        "../{name}/out/runs/a/recount.csv",
    ],
)
def test_a_path_names_out_and_run(tmp_path, monkeypatch, named):
    monkeypatch.chdir(tmp_path)
    assert out_and_run_id(named.format(tmp_path, name=tmp_path.name)) == (f"{tmp_path}/out", "a")


def test_a_path_is_seen_from_where_one_is(tmp_path, monkeypatch):
    (tmp_path / "out/runs/a").mkdir(parents=True)
    for here, named in (("runs", "a/"), ("runs", "./a"), ("runs/a", "."), ("runs/a", "report.html")):
        monkeypatch.chdir(tmp_path / "out" / here)
        assert out_and_run_id(named) == (f"{tmp_path}/out", "a"), (here, named)


def test_links_may_stand_for_folders(tmp_path):
    (tmp_path / "real/a").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/runs").symlink_to(tmp_path / "real")
    (tmp_path / "plain/runs/b").mkdir(parents=True)
    (tmp_path / "last").symlink_to(tmp_path / "plain/runs/b")
    assert out_and_run_id(f"{tmp_path}/out/runs/a") == (f"{tmp_path}/out", "a")
    assert out_and_run_id(f"{tmp_path}/last/report.html") == (f"{tmp_path}/plain", "b")


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ("s3://results/runs/a", ("s3://results", "a")),
        ("s3://results/deep/er/runs/a/report.html", ("s3://results/deep/er", "a")),
        ("s3://results/runs/runs/a/", ("s3://results/runs", "a")),
        ("/runs/a", ("/", "a")),
        ("20261123T021500.123Z", (None, "20261123T021500.123Z")),
        ("s3://runs/a", (None, "s3://runs/a")),
        ("s3://results/runs/a/notes.txt", (None, "s3://results/runs/a/notes.txt")),
        ("/tmp/out/runs/a/notes.txt", (None, "/tmp/out/runs/a/notes.txt")),
        ("/tmp/a", (None, "/tmp/a")),
        ("~nobody-of-that-name/x", (None, "~nobody-of-that-name/x")),
    ],
)
def test_what_names_no_run_stays_as_it_is(named, found):
    assert out_and_run_id(named) == found


def test_ids_that_a_spreadsheet_takes_for_something_else_are_known():
    assert all(
        map(
            is_rewritten_by_spreadsheets,
            ("2026-11-24", "24.11.2026", "11-24", "28-Nov", "NOV28", "12e3", "0042", "1234567890123456"),
        )
    )
    assert not any(
        map(is_rewritten_by_spreadsheets, (new_run_id(), "night-1", "20261124", "2026-11-24-b", "A-12", "night28"))
    )
