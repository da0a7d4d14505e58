"""What a person does between two nights: reads the queue, fills in the list, hands it in."""

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


def run_night(bucket, model, out, run_id, *arguments):
    done = reconcile("run", "--bucket", bucket, "--model", model, "--out", out, "--run-id", run_id, *arguments)
    assert done.returncode == 0, done.stderr
    return results(out, run_id)


def results(out, run_id):
    folder = Path(out, "runs", run_id)
    rows = pd.read_parquet(folder / "reconciled.parquet")
    return rows.set_index("bin_id"), json.loads((folder / "summary.json").read_text())


def queue(rows) -> list[str]:
    return rows["recount_rank"].dropna().sort_values().index.tolist()


def recount_list(run_id, out="out") -> list[dict[str, str]]:
    with Path(out, "runs", run_id, "recount.csv").open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def fill_in(run_id, found: dict[str, object], file="filled.csv", out="out", notes=None):
    """Write true counts into a run's recount.csv as a person would, and save it under another name."""
    lines = recount_list(run_id, out)
    assert set(found) <= {line["bin_id"] for line in lines}
    with Path(file).open("w", newline="") as destination:
        writer = csv.DictWriter(destination, lines[0])
        writer.writeheader()
        for line in lines:
            note = (notes or {}).get(line["bin_id"], "")
            writer.writerow(line | {"true_count": found.get(line["bin_id"], ""), "note": note})
    return file


def verdicts(command, *arguments, out="out"):
    return reconcile("verdicts", command, *arguments, "--out", out)


def taken(file, out="out") -> str:
    done = verdicts("import", file, out=out)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.strip()
