"""Nights in DuckDB over rows that a test makes up."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reconcile.output.schemas import COUNTS_SCHEMA, RECORDS_SCHEMA, VERDICTS_SCHEMA
from reconcile.reconciliation.reconciler import Reconciler
from reconcile.storage.base import StoredObject
from tests.conftest import LABELS
from tests.unit.reconciliation.rows import NOW, stored


@pytest.fixture
def night_of(tmp_path):
    """Builds a night from counts and records as they would lie in <out>."""
    opened = []

    def build(images: list[StoredObject], counts: list[dict], records: list[dict]) -> Reconciler:
        counts_part = tmp_path / "counts.parquet"
        pq.write_table(pa.Table.from_pylist(counts, COUNTS_SCHEMA), counts_part)
        # One after the other in two parts, so that a row's number says nothing without its file's.
        record_parts = [tmp_path / f"records-{number}.parquet" for number in range(2)]
        for number, part in enumerate(record_parts):
            pq.write_table(pa.Table.from_pylist(records[number::2], RECORDS_SCHEMA), part)
        night = Reconciler(tmp_path, LABELS, [str(counts_part)], [str(part) for part in record_parts])
        opened.append(night)
        for _ in night.new_images([images], None):
            pass
        listed = [stored(key) for key in dict.fromkeys(row["record_key"] for row in records)]
        for _ in night.new_records([listed], only_of_images=False):
            pass
        night.use_json_records()
        return night

    yield build
    for night in opened:
        night.close()


@pytest.fixture
def verdicts_part(tmp_path):
    """Writes verdicts as a Parquet part."""

    def write(*rows: dict) -> list[str]:
        usual = {
            "run_id": "before", "image_etag": "e", "p_wrong": 0.5, "labels": list(LABELS.names),
            "probabilities": [1 / 7] * 7, "line": 2, "imported_at": NOW,
        }  # fmt: skip
        path = tmp_path / "verdicts.parquet"
        pq.write_table(pa.Table.from_pylist([usual | row for row in rows], VERDICTS_SCHEMA), path)
        return [str(path)]

    return write
