"""The layout of <out>, and writes that are whole or absent.

counts/<model id>/*.parquet    one row an image that was counted or found unreadable
records/*.parquet              one row an inventory record that was read
verdicts/*.parquet             one row a recount: what a person found in a bin
transform/                     work under way at SageMaker; see sagemaker/transform_folder.py
runs/<run id>/                 what one night found: summary.json, reconciled.parquet, recount.csv, report.html
run.lock                       whose run is at work; see lock.py
"""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from reconcile.bucket import FetchError
from reconcile.channel import Channel, Stages
from reconcile.cores import fetches_in_flight
from reconcile.errors import ReconcileError
from reconcile.run_id import SUMMARY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from reconcile.bucket import Bucket

LOCK, PROBE = "run.lock", ".probe-"
"""The lock's key, and how those of `Output.store_time` begin."""
COUNTS_SCHEMA = pa.schema(
    [
        ("image_key", pa.string()),
        ("etag", pa.string()),
        ("predicted_label", pa.string()),  # as the model names it, such as 6+
        ("predicted_count", pa.int32()),  # of an open-ended label, the smallest count
        ("probabilities", pa.list_(pa.float32())),  # over the model's labels, in their order
        ("reason", pa.string()),  # why the image could not be counted; null where it was
        ("try_again", pa.bool_()),  # the reason lay in fetching, not in the image
        ("counted_at", pa.timestamp("us", tz="UTC")),
    ]
)

_DIMENSION = pa.struct([("value", pa.float64()), ("unit", pa.string())])
ITEM_TYPE = pa.struct(
    [
        ("asin", pa.string()),
        ("name", pa.string()),
        ("quantity", pa.int64()),
        ("length", _DIMENSION),
        ("width", _DIMENSION),
        ("height", _DIMENSION),
        ("weight", _DIMENSION),
    ]
)
RECORDS_SCHEMA = pa.schema(
    [
        ("record_key", pa.string()),
        ("etag", pa.string()),
        ("bin_id", pa.string()),
        ("expected_quantity", pa.int64()),
        ("items", pa.list_(ITEM_TYPE)),
        ("note", pa.string()),  # worth knowing, but the record holds
        ("reason", pa.string()),  # why the record is invalid; null where it is not
        ("try_again", pa.bool_()),
        ("read_at", pa.timestamp("us", tz="UTC")),
    ]
)
VERDICTS_SCHEMA = pa.schema(
    [
        ("bin_id", pa.string()),
        ("run_id", pa.string()),  # whose queue it stood in; what follows is from that run
        ("run_started_at", pa.string()),
        ("bucket", pa.string()),
        ("true_count", pa.int64()),
        ("note", pa.string()),
        ("image_key", pa.string()),
        ("image_etag", pa.string()),
        ("expected_quantity", pa.int64()),
        ("p_wrong", pa.float64()),
        ("probabilities", pa.list_(pa.float32())),  # those that p_wrong was computed from, after any correction
        ("labels", pa.list_(pa.string())),
        ("line", pa.int64()),  # of the file it was imported from
        ("imported_at", pa.timestamp("us", tz="UTC")),
    ]
)


class Output:
    """<out>: append-only Parquet parts and one folder a run, in a folder or on S3."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.location = bucket.location

    def check_writable(self) -> None:
        """Write and remove a small object, before any work is put at stake.

        Raises:
            ReconcileError: it cannot be written.
        """
        self.store_time()

    def store_time(self) -> datetime:
        """The time by the clock that stamps objects here, S3's or a file server's: that of a small one, just written.

        Raises:
            ReconcileError: it cannot be written, read or removed.
        """
        key = f"{PROBE}{uuid.uuid4().hex}"
        self.bucket.put(key, b"reconcile can write here\n")
        try:
            found = self.bucket.read(key)
        except FetchError as error:
            raise ReconcileError(str(error)) from None
        finally:
            self.bucket.delete(key)
        if found is None:
            raise ReconcileError(f"{self.bucket.url(key)} was written and is not there")
        return found[0].modified

    def write_part(self, folder: str, rows: pa.Table, name: str | None = None) -> None:
        """Add one Parquet part to `folder` (such as `records`); parts sort by the time they were written.

        Args:
            folder: in <out>.
            rows: of the part, by one of the schemas above.
            name: of the part, for rows that may have to be written again: the same name replaces them.
        """
        sink = pa.BufferOutputStream()
        pq.write_table(rows, sink, compression="zstd")
        name = name or f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}-{uuid.uuid4().hex[:8]}"
        self.bucket.put(f"{folder}/part-{name}.parquet", sink.getvalue().to_pybytes())

    def local_parts(self, folder: str, work: Path) -> list[str]:
        """Paths of all parts of `folder` on this machine; those on S3 are brought to `work` first.

        DuckDB reads local files only, so no credential ever enters a query.
        """
        keys = [stored.key for page in self.bucket.pages(f"{folder}/") for stored in page]
        paths = {key: self.bucket.local_path(key) or work / key for key in keys if key.endswith(".parquet")}
        self._bring_all([key for key, path in paths.items() if not path.exists()], work)
        return [str(path) for path in paths.values()]

    def _bring_all(self, keys: Sequence[str], work: Path) -> None:
        """Bring objects to `work`, many at a time: each is 20 ms or more under way, and there may be thousands."""
        if not keys:
            return
        workers = min(fetches_in_flight(), len(keys))
        with Stages() as stages:
            brought: Channel[Path] = Channel(stages, 2 * workers, workers)

            def bring(worker: int) -> None:
                for key in keys[worker::workers]:
                    brought.put(self._bring(key, work))

            stages.start("bring", workers, bring, brought)
            for _ in brought:
                pass

    def _bring(self, key: str, work: Path) -> Path:
        path = work / key
        if not path.exists():  # parts never change
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self.bucket.bring(key, path)
            except FetchError as error:
                raise ReconcileError(f"{self.bucket.url(key)}: {error}") from None
        return path

    def local_run_file(self, run_id: str, name: str, work: Path) -> Path | None:
        """A file of a run on this machine, brought to `work` where it lies on S3; None where there is none."""
        key = f"runs/{run_id}/{name}"
        if not any(stored.key == key for page in self.bucket.pages(f"runs/{run_id}/") for stored in page):
            return None
        return self.bucket.local_path(key) or self._bring(key, work)

    def finished_runs(self) -> list[str]:
        """The ids of the runs that have a summary, the one that wrote it last first."""
        found = [stored for page in self.bucket.pages("runs/") for stored in page]
        summaries = [stored for stored in found if re.fullmatch(r"runs/[^/]+/summary\.json", stored.key)]
        return [stored.key.split("/")[1] for stored in sorted(summaries, key=lambda one: one.modified, reverse=True)]

    def has_finished(self, run_id: str) -> bool:
        """Whether a run of that id has written its summary, the last thing a run writes."""
        found = self.bucket.pages(f"runs/{run_id}/")
        return any(stored.key == f"runs/{run_id}/{SUMMARY}" for page in found for stored in page)

    def write_run_file(self, run_id: str, name: str, content: bytes | Path) -> str:
        """Put one file into the run's folder; returns where a person finds it."""
        key = f"runs/{run_id}/{name}"
        self.bucket.put(key, content)
        return self.bucket.url(key)
