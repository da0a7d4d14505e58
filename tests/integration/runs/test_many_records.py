"""Many records: the memory of join, scoring and figures is bounded."""

import json
import subprocess
import sys

import duckdb
import pyarrow.parquet as pq
import pytest

BINS = 500_000
MAX_MB = 760
"""The largest peak of resident memory that is allowed, in MB."""
SCRIPT = """
import json, sys
from datetime import UTC, datetime
from pathlib import Path
from reconcile.storage.base import StoredObject
from reconcile.discrepancy.error_model import ErrorModel
from reconcile.discrepancy.error_model_fit import fit_error_model
from reconcile.discrepancy.expected_errors import estimate_wrong_records
from reconcile.discrepancy.scoring import DiscrepancyScorer
from reconcile.labels import CountLabels
from reconcile.reconciliation.reconciler import Reconciler, StoredParts
from reconcile.reconciliation.record_sources import TableRecords
from reconcile.reconciliation.results import Results

work, bins = Path(sys.argv[1]), int(sys.argv[2])
labels = CountLabels(("0", "1", "2", "3", "4", "5", "6+"))
errors = fit_error_model(ErrorModel(0.03), None, labels)
noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
pages = ([StoredObject(f"i/{n:07d}.jpg", 9, "e", noon) for n in range(at, at + 1000)] for at in range(0, bins, 1000))
source, parts = TableRecords(work / "stock.parquet", "stock.parquet", {}), StoredParts([str(work / "counts.parquet")])
with Reconciler(work, labels, source, parts) as reconciler:
    new = sum(map(len, reconciler.new_images(pages, None)))
    scorer = DiscrepancyScorer(labels, (1 / 7,) * 7, errors, 0)
    reconciler.reconcile(work / "reconciled.parquet", scorer, "probability")
with Results(work / "reconciled.parquet", labels, work) as results:
    expected = estimate_wrong_records(results.batches("figures/error_probabilities", tolerance=0), errors, 100)
    for figure in ("status_totals", "run_counts", "accuracy_by_count", "confusion", "reliability", "coverage"):
        results.table(f"figures/{figure}")
# Not getrusage, because its peak includes the memory of the parent process.
peak = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
print(json.dumps({"new": new, "expected_wrong": expected.wrong.value, "peak": peak}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of resident memory from Linux")
def test_half_a_million_bins_take_bounded_memory(tmp_path):
    with duckdb.connect() as database:
        database.execute(f"""
            COPY (
                SELECT
                    printf('i/%07d.jpg', n) AS image_key, 'e' AS etag,
                    '3' AS predicted_label, 3::INTEGER AS predicted_count,
                    -- No two rows are equal, as with a real model.
                    [0.05, 0.1, 0.15, 0.4 - n / 1e7, 0.15 + n / 1e7, 0.1, 0.05]::FLOAT[] AS probabilities,
                    NULL::VARCHAR AS reason, FALSE AS try_again, TIMESTAMPTZ '2026-01-02 00:00:00+00' AS counted_at
                FROM range({BINS}) AS bins (n)
            ) TO '{tmp_path}/counts.parquet';
            COPY (
                SELECT printf('%07d', n) AS bin_id, CASE WHEN n % 10 = 0 THEN 4 ELSE 3 END AS expected_quantity
                FROM range({BINS}) AS bins (n)
            ) TO '{tmp_path}/stock.parquet'
        """)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(BINS)]
    result = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    rows = pq.read_table(tmp_path / "reconciled.parquet", columns=["bin_id", "recount_rank", "p_wrong"]).to_pandas()
    assert result["new"] == 0
    assert sorted(rows["recount_rank"]) == list(range(1, BINS + 1))
    assert rows["bin_id"].nunique() == BINS
    assert rows.sort_values("recount_rank")["p_wrong"].is_monotonic_decreasing
    assert abs(result["expected_wrong"] - rows["p_wrong"].sum()) < 0.01
    assert result["peak"] < MAX_MB
