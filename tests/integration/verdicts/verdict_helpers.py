"""Helpers that make runs, fill in their recount lists, and import and read verdicts."""

import csv
import json
from pathlib import Path

import pandas as pd

from tests.conftest import reconcile

# bin id: (items in the photo, items on record)
BINS = {
    "00001": (2, 2),
    "00002": (3, 3),
    "00003": (1, 4),
    "00004": (5, 2),
    "00005": (6, 30),
    "00006": (0, 0),
    "7": (4, 5),
    "00007": (4, 4),
}


def run_bucket(bucket, model, out, run_id, *arguments):
    """Run `reconcile run`. Return its rows by bin id, and its summary."""
    done = reconcile("run", "--bucket", bucket, "--model", model, "--out", out, "--run-id", run_id, *arguments)
    assert done.returncode == 0, done.stderr
    return read_results(out, run_id)


def read_results(out, run_id):
    """Return the rows of a run by bin id, and its summary."""
    folder = Path(out, "runs", run_id)
    rows = pd.read_parquet(folder / "reconciled.parquet")
    return rows.set_index("bin_id"), json.loads((folder / "summary.json").read_text())


def queued_bins(rows) -> list[str]:
    """Return the bin ids of the recount queue in order."""
    return rows["recount_rank"].dropna().sort_values().index.tolist()


def read_recount_list(run_id, out="out") -> list[dict[str, str]]:
    """Return the lines of recount.csv of a run."""
    with Path(out, "runs", run_id, "recount.csv").open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def fill_in_counts(run_id, counts: dict[str, object], file="filled.csv", out="out", notes=None):
    """Write true counts into a copy of recount.csv of a run, and return the name of the copy."""
    lines = read_recount_list(run_id, out)
    assert set(counts) <= {line["bin_id"] for line in lines}
    with Path(file).open("w", newline="") as destination:
        writer = csv.DictWriter(destination, lines[0])
        writer.writeheader()
        for line in lines:
            note = (notes or {}).get(line["bin_id"], "")
            writer.writerow(line | {"true_count": counts.get(line["bin_id"], ""), "note": note})
    return file


def run_verdicts(command, *arguments, out="out"):
    """Run a command of `reconcile verdicts`."""
    return reconcile("verdicts", command, *arguments, "--out", out)


def import_file(file, out="out") -> str:
    """Import a file of verdicts without invalid lines, and return the printed summary."""
    done = run_verdicts("import", file, out=out)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.strip()
