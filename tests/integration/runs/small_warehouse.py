"""The bins of a small warehouse, and the results of a run over them."""

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
    """Return the summary and the rows of the last run under `out`."""
    folder = sorted((out / "runs").iterdir())[-1]
    rows = pd.read_parquet(folder / "reconciled.parquet")
    return json.loads((folder / "summary.json").read_text()), rows


def statuses(rows):
    return dict(sorted(zip(rows["bin_id"], rows["status"], strict=True)))
