"""Every tap is in the verdicts exactly once: kills, restarts, full disks, an absent store, and other writers."""

import json
import random
import shutil
import threading
import time
import uuid
from pathlib import Path

import pytest

from reconcile.errors import ReconcileError
from reconcile.storage import retry
from reconcile.storage.base import S3Access
from tests.conftest import reconcile, write_bucket
from tests.integration.recounting.conftest import BINS, WHERE
from tests.recount_phones import read_verdicts
from tests.recount_process import wait_for_verdicts


@pytest.mark.parametrize("moment", ["before", "after"])
def test_part_that_a_kill_interrupted_is_written_once(start_app, out, moment, monkeypatch):
    app = start_app()
    app.phone("Ann").count("A-1-2", 1)
    write_part = app.output.write_part

    def write_and_die(*arguments):
        if moment == "after":
            write_part(*arguments)
        raise ReconcileError("killed")

    monkeypatch.setattr(app.output, "write_part", write_and_die)
    app.storing.step()
    assert len(read_verdicts(out)) == (moment == "after")
    app.close()
    again = start_app()
    assert again.phone("Ben").poll()["progress"]["done"] == 1
    assert [row["true_count"] for row in again.verdicts()] == [1]
    again.phone("Ben").count("A-1-1", 2)
    assert sorted(row["true_count"] for row in again.verdicts()) == [1, 2]


def test_journal_of_a_killed_process_is_continued(start_app, tmp_path):
    app = start_app()
    ann = app.phone("Ann")
    entry = ann.entry("A-1-2", 1)
    ann.send(entry)
    app.close()
    [journal] = (tmp_path / "journal").iterdir()
    with journal.open("ab") as file:
        file.write(b'{"verdict": {"entry_id": "half of')
    again = start_app()
    ben = again.phone("Ben")
    assert ben.poll()["progress"]["done"] == 1
    assert ben.send(entry)[0]["saved"] is True, "the phone did not hear the answer and sends again"
    ben.count("A-1-1", 2)
    assert sorted(row["true_count"] for row in again.verdicts()) == [1, 2]
    assert "damaged" not in (tmp_path / "log").read_text()


def test_claims_and_progress_come_back_after_a_restart(start_app):
    app = start_app()
    ann = app.phone("Ann")
    ann.count("A-1-2", 1)
    claimed = ann.poll()["next"]
    app.storing.step()
    app.close()
    state = start_app().phone("Ben").poll()
    assert state["progress"]["done"] == 1
    assert state["taken"] == {str(claimed): "Ann"}
    assert state["next"] != claimed


def test_full_disk_refuses_the_tap_and_keeps_the_earlier_ones(app, monkeypatch):
    ann = app.phone("Ann")
    ann.count("A-1-2", 1)
    journal = app.journals[0]
    entry = ann.entry("A-1-1", 2)
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr(journal, "_file", full)
        status, answer = ann.post("/api/entries", {"entries": [entry]})
        assert status == 503
        assert "No space left on device" in answer["error"]
        monkeypatch.undo()
    assert ann.poll()["progress"]["done"] == 1
    assert ann.send(entry)[0]["saved"] is True
    assert len(app.verdicts()) == 2


def test_taps_wait_on_disk_while_the_store_is_away(start_app, s3, out, monkeypatch):
    monkeypatch.setattr(retry, "BUDGET_SECONDS", 0.5)
    results = Path(shutil.copytree(out, s3.root / "results"))
    app = start_app(location="s3://results", access=S3Access(endpoint_url=s3.endpoint_url))
    ann = app.phone("Ann")
    entries = [ann.entry("A-1-1", 2), ann.entry("A-1-2", 1)]
    s3.process.kill()
    s3.process.wait()
    ann.send(entries[0])
    app.storing.step()
    assert ann.poll()["notices"] == ["The store does not answer: 1 counts are safe on the server. Keep counting."]
    ann.send(entries[1])
    app.close()
    back = start_app(location=results)  # the journal is continued over the same results
    back.storing.step()
    assert sorted(row["true_count"] for row in read_verdicts(results)) == [1, 2]
    assert back.phone("Ann").poll()["notices"] == []


def test_app_works_over_s3(start_app, s3, out):
    results = Path(shutil.copytree(out, s3.root / "results/deep"))
    app = start_app(location="s3://results/deep", access=S3Access(endpoint_url=s3.endpoint_url))
    assert app.phone("Ann").count("A-1-2", 1)["record"] == 4
    app.storing.step()
    assert [row["true_count"] for row in read_verdicts(results)] == [1]


def test_two_servers_over_one_output_share_claims_and_counts(start_app, tmp_path):
    one, two = start_app(), start_app(tmp_path / "two")
    ann, ben = one.phone("Ann"), two.phone("Ben")
    first = ann.poll()["next"]
    for app in (one, two, one, two):
        app.storing._next_look = 0
        app.storing.step()
    state = ben.poll()
    assert state["taken"] == {str(first): "Ann"}
    assert state["notices"] == ["Two servers work on these results. A bin may be counted twice; no count is lost."]
    ann.count("A-1-2", 1)
    ben.count("A-1-2", 2)
    for app in (one, two, one):
        app.storing._next_look = 0
        app.storing.step()
    assert ann.poll()["progress"]["done"] == ben.poll()["progress"]["done"] == 1
    assert sorted(row["true_count"] for row in one.verdicts()) == [1, 2]
    sequences = {row["true_count"]: row["sequence"] for row in one.verdicts()}
    assert sequences[1] < sequences[2]


def test_imported_verdict_appears_as_done(app, out, tmp_path):
    (tmp_path / "v.csv").write_text("bin_id,run_id,true_count\nA-1-2,n1,1\n")
    ann = app.phone("Ann")
    number = ann.queue()["cards"]["A-1-2"]["n"]
    assert reconcile("verdicts", "import", tmp_path / "v.csv", "--out", out).returncode == 0
    app.storing._next_look = 0
    app.storing.step()
    assert [number, "done"] in ann.poll()["bins"]
    assert ann.count("A-1-2", 2)["other"] == {"who": "An imported file", "found": 1}
    app.storing.step()
    [line] = reconcile("verdicts", "list", "--out", out).stdout.splitlines()[1:]
    assert line.split()[:3] == ["A-1-2", "n1", "2"], "the last count is used"


def test_late_taps_count_for_the_run_they_belong_to(app, out, grey_model, tmp_path):
    bucket = write_bucket(tmp_path / "w2", BINS | {"C-1-1": (1, 6)})
    ann = app.phone("Ann")
    late = ann.entry("A-1-2", 1)
    ann.count("A-1-1", 2)
    app.storing.step()
    arguments = ["--bucket", bucket, "--model", grey_model, "--out", out, "--run-id", "n2", "--where", WHERE]
    assert reconcile("run", *arguments).returncode == 0
    app.storing._next_look = 0
    app.storing.step()
    assert ann.poll()["run"] == "n2"
    assert "C-1-1" in ann.queue()["cards"]
    assert ann.send(late)[0]["record"] == 4
    assert {row["run_id"] for row in app.verdicts()} == {"n1"}
    app.close()


def test_counts_survive_a_prune_of_their_run(app, out, grey_model, counted_bins):
    ann = app.phone("Ann")
    late = ann.entry("A-1-2", 1)
    arguments = ["--bucket", counted_bins / "w", "--model", grey_model, "--out", out, "--run-id", "n2"]
    assert reconcile("run", *arguments).returncode == 0
    assert reconcile("prune", "--keep", "1", "--yes", "--out", out).returncode == 0
    assert not (out / "runs/n1").exists()
    assert ann.send(late)[0]["record"] == 4
    assert [row["run_id"] for row in app.verdicts()] == ["n1"]


def test_output_without_a_run_says_so_and_continues(start_app, tmp_path, counted_bins):
    (tmp_path / "empty").mkdir()
    app = start_app(location=tmp_path / "empty")
    state = app.phone("Ann").poll()
    assert state["run"] is None
    assert state["notices"] == ["No run has finished yet. This page continues as soon as one has."]
    shutil.copytree(counted_bins / "out/runs", tmp_path / "empty/runs")
    app.storing._next_look = 0
    app.storing.step()
    assert app.phone("Ann").poll()["run"] == "n1"


def test_unreadable_run_leaves_the_earlier_one(app, out):
    folder = out / "runs" / "n9"
    folder.mkdir()
    (folder / "summary.json").write_text("{}")
    app.storing._next_look = 0
    app.storing.step()
    ann = app.phone("Ann")
    assert ann.poll()["run"] == "n1"
    ann.count("A-1-2", 1)
    app.storing.step()
    assert len(read_verdicts(out)) == 1


def test_every_tap_survives_ten_kills_once(start_process, out):
    """A phone sends taps one after the other, each until it hears an answer, as the page does."""
    server = start_process().wait_until_ready()
    phone = server.phone("Ann")
    cards = list(phone.queue()["cards"].values())
    random.seed(7)
    sent: list[str] = []
    ended = threading.Event()

    def tap() -> None:
        while not ended.is_set():
            card = random.choice(cards)
            entry = {"id": uuid.uuid4().hex, "run": "n1", "number": card["n"], "bin": card["bin"]}
            entry |= {"action": "count", "count": len(sent) % 10}
            while True:
                try:
                    status, _ = phone.post("/api/entries", {"entries": [entry]})
                    if status == 200:
                        break
                except (OSError, json.JSONDecodeError, ValueError):
                    pass
                time.sleep(0.05)
            sent.append(entry["id"])
            time.sleep(0.02)

    thread = threading.Thread(target=tap)
    thread.start()
    for _ in range(10):
        time.sleep(random.uniform(0.5, 4))
        server.kill()
        server.start(server.port)
    ended.set()
    thread.join(60)
    assert len(sent) > 20
    rows = wait_for_verdicts(out, len(sent))
    assert server.stop() == 0
    rows = read_verdicts(out)
    assert sorted(row["entry_id"] for row in rows) == sorted(sent)
