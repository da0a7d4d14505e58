"""Reconcilers over rows that a test makes up."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reconcile.output.schemas import COUNTS_SCHEMA, RECORDS_SCHEMA, VERDICTS_SCHEMA
from reconcile.reconciliation.reconciler import Reconciler, StoredParts
from reconcile.reconciliation.record_sources import JsonRecords, RecordSource
from reconcile.storage.base import StoredObject
from tests.conftest import LABELS
from tests.unit.reconciliation.rows import NOW, stored


@pytest.fixture
def reconciler_of(tmp_path):
    """Return a function that opens a Reconciler over counts and records as a run leaves them in <out>."""
    opened = []

    def build(
        images: list[StoredObject],
        counts: list[dict],
        records: list[dict],
        source: RecordSource | None = None,
        verdicts: tuple[str, ...] = (),
        costs: pa.Table | None = None,
    ) -> Reconciler:
        counts_part = tmp_path / "counts.parquet"
        pq.write_table(pa.Table.from_pylist(counts, COUNTS_SCHEMA), counts_part)
        # Two parts with every other record, so that the number of a row means nothing without its file.
        record_parts = [tmp_path / f"records-{number}.parquet" for number in range(2)]
        for number, part in enumerate(record_parts):
            pq.write_table(pa.Table.from_pylist(records[number::2], RECORDS_SCHEMA), part)
        parts = StoredParts([str(counts_part)], [str(part) for part in record_parts], verdicts)
        reconciler = Reconciler(tmp_path, LABELS, source or JsonRecords(), parts, costs)
        opened.append(reconciler)
        for _ in reconciler.new_images([images], None):
            pass
        listed = [stored(key) for key in dict.fromkeys(row["record_key"] for row in records)]
        for _ in reconciler.new_records([listed], only_of_images=False):
            pass
        return reconciler

    yield build
    for reconciler in opened:
        reconciler.close()


@pytest.fixture
def verdicts_part(tmp_path):
    """Return a function that writes verdicts as a Parquet part and returns its path in a tuple."""

    def write(*rows: dict) -> tuple[str, ...]:
        defaults = {
            "run_id": "before", "image_etag": "e", "p_wrong": 0.5, "labels": list(LABELS.names),
            "probabilities": [1 / 7] * 7, "line": 2, "imported_at": NOW,
        }  # fmt: skip
        path = tmp_path / "verdicts.parquet"
        pq.write_table(pa.Table.from_pylist([defaults | row for row in rows], VERDICTS_SCHEMA), path)
        return (str(path),)

    return write
