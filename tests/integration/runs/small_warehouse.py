"""The bins of a small warehouse, and what a run left of them."""

import json

import pandas as pd

# bin id: (items in the photo, items on record)
BINS = {
    "00001": (2, 2),
    "00002": (3, 3),
    "00003": (1, 4),
    "00004": (5, 2),
    "00005": (6, 30),
    "00006": (4, None),
    "00007": (None, 3),
    "1": (0, 0),
}


def results(out):
    """The only run under `out`, or the last: its summary and its rows."""
    folder = sorted((out / "runs").iterdir())[-1]
    rows = pd.read_parquet(folder / "reconciled.parquet")
    return json.loads((folder / "summary.json").read_text()), rows


def statuses(rows):
    return dict(sorted(zip(rows["bin_id"], rows["status"], strict=True)))
