"""Rows of counts and records as a run leaves them in <out>, and the results of a run over them."""

from datetime import UTC, datetime

import pandas as pd

from reconcile.discrepancy.error_model import ErrorModel
from reconcile.discrepancy.error_model_fit import fit_error_model
from reconcile.discrepancy.scoring import DiscrepancyScorer
from reconcile.labels import CountLabels
from reconcile.reconciliation.reconciler import Reconciler
from reconcile.reconciliation.results import Results
from reconcile.storage.base import StoredObject
from tests.conftest import LABELS

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def stored(key: str, etag: str = "e", day: int = 1) -> StoredObject:
    return StoredObject(key, 10, etag, datetime(2026, 1, day, tzinfo=UTC))


def count_row(key: str, count: int | None, etag: str = "e", doubt: float = 1e-5, **changes) -> dict:
    """Return a row of counts in which each label but the counted one has the probability `doubt`."""
    row = {"image_key": key, "etag": etag, "try_again": False, "counted_at": NOW}
    if count is not None:
        probabilities = [doubt] * 7
        probabilities[count] = 1 - 6 * doubt
        row |= {"predicted_label": LABELS.names[count], "predicted_count": count, "probabilities": probabilities}
    return row | changes


def record_row(key: str, bin_id: str, quantity: int | None, **changes) -> dict:
    row = {"record_key": key, "etag": "e", "bin_id": bin_id, "expected_quantity": quantity, "items": []}
    return row | {"try_again": False, "read_at": NOW} | changes


def verdict(bin_id: str, record: int, found: int, **changes) -> dict:
    return {
        "bin_id": bin_id,
        "image_key": f"i/{bin_id}.jpg",
        "expected_quantity": record,
        "true_count": found,
    } | changes


def scorer_of(labels: CountLabels = LABELS, tolerance: int = 0) -> DiscrepancyScorer:
    fraction = 1 / len(labels.names)
    return DiscrepancyScorer(
        labels, (fraction,) * len(labels.names), fit_error_model(ErrorModel(0.03), None, labels), tolerance
    )


def reconciled(
    reconciler: Reconciler, tmp_path, rank_by: str = "probability", stale_after: float | None = None
) -> pd.DataFrame:
    reconciler.reconcile(tmp_path / "reconciled.parquet", scorer_of(), rank_by, stale_after)
    return pd.read_parquet(tmp_path / "reconciled.parquet").set_index("bin_id", drop=False)


def table(tmp_path, name: str, **parameters) -> pd.DataFrame:
    with Results(tmp_path / "reconciled.parquet", LABELS, tmp_path) as results:
        return results.table(name, **parameters)


def recount_list(tmp_path, capacity: int = 100) -> pd.DataFrame:
    with Results(tmp_path / "reconciled.parquet", LABELS, tmp_path) as results:
        results.write_recount_list(tmp_path / "recount.csv", "run-1", capacity)
    return pd.read_csv(tmp_path / "recount.csv", dtype=str, keep_default_na=False)


def queue(rows: pd.DataFrame) -> list[str]:
    return rows.dropna(subset="recount_rank").sort_values("recount_rank")["bin_id"].tolist()
