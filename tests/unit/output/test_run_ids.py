"""Names of runs: ids, and paths of their files."""

import pytest

from reconcile.output.run_ids import is_rewritten_by_spreadsheets, new_run_id, out_and_run_id


@pytest.mark.parametrize(
    "name",
    [
        "{}/out/runs/a",
        "{}/out/runs/a/",
        "{}/out/runs//a//report.html",
        "out/runs/a",
        "./out/runs/a/summary.json",
        "../{name}/out/runs/a/recount.csv",
    ],
)
def test_path_of_a_run_gives_out_and_run_id(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert out_and_run_id(name.format(tmp_path, name=tmp_path.name)) == (f"{tmp_path}/out", "a")


def test_relative_path_is_resolved_from_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "out/runs/a").mkdir(parents=True)
    for working_directory, name in (("runs", "a/"), ("runs", "./a"), ("runs/a", "."), ("runs/a", "report.html")):
        monkeypatch.chdir(tmp_path / "out" / working_directory)
        assert out_and_run_id(name) == (f"{tmp_path}/out", "a"), (working_directory, name)


def test_symbolic_links_to_run_folders_are_followed(tmp_path):
    (tmp_path / "real/a").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/runs").symlink_to(tmp_path / "real")
    (tmp_path / "plain/runs/b").mkdir(parents=True)
    (tmp_path / "last").symlink_to(tmp_path / "plain/runs/b")
    assert out_and_run_id(f"{tmp_path}/out/runs/a") == (f"{tmp_path}/out", "a")
    assert out_and_run_id(f"{tmp_path}/last/report.html") == (f"{tmp_path}/plain", "b")


@pytest.mark.parametrize(
    ("name", "expected"),
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
def test_name_without_a_run_folder_is_returned_unchanged(name, expected):
    assert out_and_run_id(name) == expected


def test_ids_that_spreadsheets_rewrite_are_recognised():
    assert all(
        map(
            is_rewritten_by_spreadsheets,
            ("2026-11-24", "24.11.2026", "11-24", "28-Nov", "NOV28", "12e3", "0042", "1234567890123456"),
        )
    )
    assert not any(
        map(is_rewritten_by_spreadsheets, (new_run_id(), "night-1", "20261124", "2026-11-24-b", "A-12", "night28"))
    )
