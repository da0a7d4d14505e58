"""Runs that are killed at any moment: the next run continues, and the final results are the same.

The command runs in processes forked from one that has loaded the libraries (tests/forked.py). Otherwise twenty runs
would spend most of their time loading them.
"""

import itertools
import os
import random
import re
import signal
import sys
import tempfile
import threading
from pathlib import Path

import pandas as pd
import pytest

from reconcile.cli import main
from reconcile.streaming import write_parts
from tests.conftest import last_line, write_bucket
from tests.forked import fork_server

PHOTOS = 1500
PART_ROWS = 40
# The files that a run opens, renames or removes; the most such events before a kill; and the number of kills.
MOMENTS = [
    ("open .*/metadata/", 60, 3),  # photos are counted meanwhile
    ("os.rename .*/records/", 2, 1),
    ("open .*/bin-images/", 60, 6),
    ("os.rename .*/counts/", 2, 3),  # the part is written, but still has its temporary name
    (r"open .*/sql/(join/(images|records|joined|prior_sample|ranked)|figures/(status_totals|run_counts))\.sql", 7, 3),
    ("open .*/reports/", 4, 1),
    ("os.rename .*/runs/", 4, 3),  # reconciled.parquet, recount.csv, report.html, summary.json
]


def run_and_die(arguments, log, temporary, pattern, number, deadly, delay):
    """Run the command, and send it `deadly` at, or `delay` after, the `number`th event that matches `pattern`."""
    events = itertools.count(1)

    def watch(event, args):
        if event not in ("open", "os.rename", "os.remove") or not re.match(pattern, f"{event} {args[0]}"):
            return
        if next(events) == number:
            if delay:
                threading.Timer(delay, os.kill, (os.getpid(), deadly)).start()
            else:
                os.kill(os.getpid(), deadly)

    sys.addaudithook(watch)
    with Path(log).open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ["TMPDIR"], tempfile.tempdir = temporary, None
    write_parts.PART_ROWS = PART_ROWS
    sys.argv = ["reconcile", *arguments]
    main()


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory):
    return write_bucket(
        tmp_path_factory.mktemp("killed") / "w", {f"{n:05d}": (n % 7, n * 3 % 7) for n in range(PHOTOS)}
    )


@pytest.fixture
def run(warehouse, grey_model, tmp_path):
    """Return a function that runs the command into `out` and returns its log and exit code, negative for a signal."""
    (tmp_path / "tmp").mkdir()

    def run(out, pattern="never", number=1, deadly=signal.SIGKILL, delay=0.0):
        arguments = ["run", "--bucket", warehouse, "--model", grey_model, "--out", tmp_path / out]
        log = tmp_path / "log.txt"
        process = fork_server().Process(
            target=run_and_die,
            args=([str(part) for part in arguments], str(log), str(tmp_path / "tmp"), pattern, number, deadly, delay),
        )
        process.start()
        process.join(120)
        return process.exitcode, log.read_text(encoding="utf-8")

    return run


def parts(folder):
    """Return the rows of all parts under a folder."""
    return pd.concat([pd.read_parquet(path) for path in sorted(folder.rglob("*.parquet"))], ignore_index=True)


def reconciled(out):
    [finished] = [path.parent for path in (out / "runs").glob("*/summary.json")]
    return pd.read_parquet(finished / "reconciled.parquet")


def test_twenty_kills_do_not_change_the_results(run, tmp_path):
    dice = random.Random(20261124)
    moments = [(pattern, dice.randint(1, most)) for pattern, most, times in MOMENTS for _ in range(times)]
    assert len(moments) == 20
    survived = set()
    for pattern, number in moments:
        code, log = run("out", pattern, number, delay=dice.choice([0.0, 0.0, 0.01, 0.04]))
        assert code == -signal.SIGKILL, (pattern, number, log)
        if list((tmp_path / "out" / "counts").rglob("*.parquet")):
            counted = parts(tmp_path / "out" / "counts")["image_key"]
            assert counted.is_unique, "something was counted twice"
            assert survived <= set(counted)
            survived = set(counted)
    code, log = run("out")
    assert code == 0, log
    assert re.search(
        rf"^Photos counted +0 in this run; {PHOTOS:,} counted or unreadable in earlier runs$", log, re.MULTILINE
    )
    for folder, key in (("counts", "image_key"), ("records", "record_key")):
        rows = parts(tmp_path / "out" / folder)
        assert len(rows) == PHOTOS
        assert not rows.duplicated([key, "etag"]).any(), "something was read twice"
    assert not list((tmp_path / "tmp").glob("reconcile-run-*")), "killed runs leave folders, the next one removes them"

    assert run("undisturbed")[0] == 0
    pd.testing.assert_frame_equal(reconciled(tmp_path / "out"), reconciled(tmp_path / "undisturbed"))


def test_stop_while_writing_a_part_writes_it_once(run, tmp_path):
    # The temporary file is removed last, so the part exists at that moment.
    code, log = run("out", r"os.remove .*/counts/.*partial", 3, deadly=signal.SIGTERM)
    assert code == 130, log
    rows = parts(tmp_path / "out" / "counts")
    assert 3 * PART_ROWS <= len(rows) <= PHOTOS  # on many cores, all photos may have been counted at this point
    assert rows["image_key"].is_unique
    warning = rf"warning: stopped after {len(rows):,} of (at least )?[\d,]+ photos; finished work is kept\n"
    assert re.search(warning, log), log
    assert last_line(log).startswith("reconcile: interrupted; finished work is kept, run the same command again")
    assert last_line(log).endswith(f" --out {tmp_path}/out")

    code, log = run("out")
    counted = (
        rf"^Photos counted +{PHOTOS - len(rows):,} in this run; {len(rows):,} counted or unreadable in earlier runs$"
    )
    assert re.search(counted, log, re.MULTILINE)
