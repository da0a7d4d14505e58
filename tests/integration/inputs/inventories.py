"""Write S3 Inventories as S3 does, and list their objects."""

import gzip
import hashlib
import io
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import quote_plus

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import orc

from reconcile.inputs.key_list import KeyList

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
SCHEMA = pa.schema(
    [
        ("bucket", pa.string()), ("key", pa.string()), ("version_id", pa.string()), ("is_latest", pa.bool_()),
        ("is_delete_marker", pa.bool_()), ("size", pa.int64()), ("last_modified_date", pa.timestamp("ms")),
        ("e_tag", pa.string()), ("storage_class", pa.string()),
    ]
)  # fmt: skip
BINS = {"1": (3, 3), "2": (2, 4), "3": (5, 5), "4": (1, None), "5": (None, 2)}
"""The photos and records of the bucket `warehouse`."""
CSV_SCHEMA = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag, StorageClass"


def row(key: str, etag: str | None = "e", size: int | None = 10, **changes) -> dict:
    """Return an object as a row of an inventory."""
    columns = {"bucket": "warehouse", "key": key, "version_id": "v", "is_latest": True, "is_delete_marker": False}
    return columns | {"size": size, "last_modified_date": NOON, "e_tag": etag, "storage_class": "STANDARD"} | changes


def data_file(rows: list[dict], file_format: str) -> bytes:
    """Return the bytes of one data file of an inventory, as S3 writes it."""
    if file_format == "CSV":
        lines = []
        for values in rows:
            cells = values | {
                "key": quote_plus(values["key"], safe="/"),
                "last_modified_date": "2026-01-02T12:00:00.000Z",
            }
            cells |= {name: str(values[name]).lower() for name in ("is_latest", "is_delete_marker")}
            lines.append(",".join(f'"{"" if cell is None else cell}"' for cell in cells.values()))
        return gzip.compress("\n".join(lines).encode())
    table, sink = pa.Table.from_pylist(rows, SCHEMA), io.BytesIO()
    pq.write_table(table, sink) if file_format == "Parquet" else orc.write_table(table, sink)
    return sink.getvalue()


def write_inventory(served, files: list[list[dict]], file_format: str = "Parquet", **changes) -> str:
    """Write an inventory into the bucket `reports`, as S3 does, and return the key of its manifest."""
    reports = served.root / "reports"
    ending = {"CSV": "csv.gz", "Parquet": "parquet", "ORC": "orc"}[file_format]
    entries = []
    for number, rows in enumerate(files):
        data = data_file(rows, file_format)
        key = f"nightly/warehouse/all/data/{number}.{ending}"
        (reports / key).parent.mkdir(parents=True, exist_ok=True)
        (reports / key).write_bytes(data)
        entries.append({"key": key, "size": len(data), "MD5checksum": hashlib.md5(data).hexdigest()})
    manifest = {
        "sourceBucket": "warehouse", "destinationBucket": "arn:aws:s3:::reports", "version": "2016-11-30",
        "creationTimestamp": str(int((datetime.now(UTC) - timedelta(hours=22)).timestamp() * 1000)),
        "fileFormat": file_format, "fileSchema": CSV_SCHEMA if file_format == "CSV" else "…", "files": entries,
    } | changes  # fmt: skip
    key = "nightly/warehouse/all/2026-01-02T12-00Z/manifest.json"
    (reports / key).parent.mkdir(parents=True, exist_ok=True)
    (reports / key).write_text(json.dumps(manifest))
    served.refresh()
    return key


def listed(keys: KeyList, prefix: str = "bin-images/") -> list[dict]:
    """Return all objects under a prefix."""
    return [stored for page in keys.list_pages(prefix) for stored in page.to_pylist()]
