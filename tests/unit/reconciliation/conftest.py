"""Nights in DuckDB over rows that a test makes up."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reconcile.bucket import StoredObject
from reconcile.reconciliation import Night
from reconcile.store import COUNTS_SCHEMA, RECORDS_SCHEMA
from tests.conftest import LABELS
from tests.unit.reconciliation.rows import stored


@pytest.fixture
def night_of(tmp_path):
    """Builds a night from counts and records as they would lie in <out>."""
    opened = []

    def build(images: list[StoredObject], counts: list[dict], records: list[dict]) -> Night:
        counts_part, records_part = tmp_path / "counts.parquet", tmp_path / "records.parquet"
        pq.write_table(pa.Table.from_pylist(counts, COUNTS_SCHEMA), counts_part)
        pq.write_table(pa.Table.from_pylist(records, RECORDS_SCHEMA), records_part)
        night = Night(tmp_path, LABELS, [str(counts_part)], [str(records_part)])
        opened.append(night)
        for _ in night.new_images([images], None):
            pass
        for _ in night.new_records([[stored(row["record_key"]) for row in records]], only_of_images=False):
            pass
        night.use_json_records()
        return night

    yield build
    for night in opened:
        night.close()
