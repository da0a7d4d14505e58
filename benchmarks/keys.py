"""Measure reading an inventory of millions of keys, next to a listing by a local S3 server."""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.machine import run_measured
from benchmarks.records_data import IMAGES
from reconcile.inputs.key_list import KeyList
from reconcile.labels import CountLabels
from reconcile.output.schemas import COUNTS_SCHEMA
from reconcile.reconciliation.reconciler import Reconciler, StoredParts
from reconcile.reconciliation.record_sources import JsonRecords
from reconcile.storage.base import S3Access
from reconcile.storage.open import open_bucket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.machine import Server

KEYS = 4_000_000
LISTED = 20_000
"""Number of listed objects. The local server scans all objects for every page, so more objects make pages slower."""
_KEYS_PER_FILE = 1_000_000
_BUCKET = "warehouse"


def measure(server: Server, folder: Path, keys: int = KEYS, listed: int = LISTED) -> list[str]:
    """Write inventories of `keys` photos and a bucket of `listed` photos, read them, and return the result lines."""
    lines = [
        f"All keys and ETags are stored and compared with those that are counted already. All photos are counted "
        f"already: {keys:,} keys of an unordered inventory, and {listed:,} of a listed bucket. Once each.",
        "",
        "| source | seconds per million keys | CPU seconds per million keys |",
        "| --- | --- | --- |",
    ]
    for form in ("Parquet", "CSV"):
        inventory = folder / f"inventory-{form}"
        _write_inventory(inventory, form, keys)
        lines.append(_row(f"an inventory in {form}", keys, inventory / "manifest.json", ""))
    photos = server.root / _BUCKET / IMAGES
    photos.mkdir(parents=True)
    for number in range(listed):
        (photos / f"{number:09d}.jpg").touch()
    before = server.cpu_seconds()
    lines.append(_row("a listing, a thousand keys per request", listed, inventory, server.endpoint))
    used = 1e6 * (server.cpu_seconds() - before) / listed
    lines.append(f"\nIn addition, the S3 server used {used:.1f} CPU seconds per million keys.")
    return lines


def _row(name: str, keys: int, source: Path, endpoint: str) -> str:
    measured = run_measured(sys.executable, "-m", "benchmarks.keys", source, endpoint or "-")
    seconds, cpu_seconds = (float(word) for word in measured.stdout.split()[-2:])
    return f"| {name} | {1e6 * seconds / keys:.1f} | {1e6 * cpu_seconds / keys:.1f} |"


def _photos(keys: int) -> Iterator[tuple[list[str], list[str]]]:
    order = np.random.default_rng(0).permutation(keys)
    for start in range(0, keys, _KEYS_PER_FILE):
        numbers = order[start : start + _KEYS_PER_FILE].tolist()
        etags = [hashlib.md5(str(number).encode()).hexdigest() for number in numbers]
        yield [f"{IMAGES}{number:09d}.jpg" for number in numbers], etags


def _write_inventory(folder: Path, form: str, keys: int) -> None:
    """Write an inventory like S3, and next to it counts.parquet with the same keys in order."""
    folder.mkdir()
    files, known = [], []
    for number, (names, etags) in enumerate(_photos(keys)):
        path = folder / f"{number}.{'parquet' if form == 'Parquet' else 'csv.gz'}"
        if form == "Parquet":
            days = pa.array(np.full(len(names), np.datetime64("2026-01-01", "ms")))
            columns = {"bucket": [_BUCKET] * len(names), "key": names, "size": np.full(len(names), 50_000)}
            pq.write_table(pa.table(columns | {"last_modified_date": days, "e_tag": etags}), path)
        else:
            rows = (
                f'"{_BUCKET}","{k}","50000","2026-01-01T00:00:00.000Z","{e}"' for k, e in zip(names, etags, strict=True)
            )
            path.write_bytes(gzip.compress("\n".join(rows).encode(), 6))
        digest = hashlib.md5(path.read_bytes()).hexdigest()
        files.append({"key": path.name, "size": path.stat().st_size, "MD5checksum": digest})
        known.append(pa.table({"image_key": names, "etag": etags, "try_again": np.zeros(len(names), dtype=bool)}))
    pq.write_table(pa.concat_tables(known).sort_by("image_key"), folder / "counts.parquet", row_group_size=100_000)
    schema = "Bucket, Key, Size, LastModifiedDate, ETag"
    manifest = {"sourceBucket": _BUCKET, "creationTimestamp": "1767225600000", "fileFormat": form, "fileSchema": schema}
    (folder / "manifest.json").write_text(json.dumps(manifest | {"files": files}))


def main(source: Path, endpoint: str) -> None:
    """Store the keys of an inventory, or of a listing, and print seconds and CPU seconds."""
    counts = source if source.is_dir() else source.parent
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        # This benchmark does not read the missing columns, but the schema needs them.
        known = pq.read_table(counts / "counts.parquet")
        missing = [field for field in COUNTS_SCHEMA if field.name not in known.column_names]
        for field in missing:
            known = known.append_column(field, pa.nulls(len(known), field.type))
        pq.write_table(known, scratch / "counts.parquet")
        del known
        parts = StoredParts(counts=[str(scratch / "counts.parquet")])
        reconciler = Reconciler(scratch, CountLabels(("0", "1+")), JsonRecords(), parts)
        bucket = open_bucket(_BUCKET, S3Access(endpoint_url=None if endpoint == "-" else endpoint))
        if endpoint != "-":
            next(bucket.list_pages(IMAGES))  # connect before the clock starts
        started, before = time.perf_counter(), time.process_time()
        if endpoint == "-":
            pages = KeyList(str(source), S3Access(), bucket, scratch).list_pages(IMAGES)
            list(reconciler.new_images(pages, None))
        else:
            sum(map(len, reconciler.new_images(bucket.list_pages(IMAGES), None)))
        print(time.perf_counter() - started, time.process_time() - before)
        reconciler.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
