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

from reconcile.concurrency.channels import Channel, StageGroup
from reconcile.concurrency.cpu import fetches_in_flight
from reconcile.errors import ReconcileError
from reconcile.output.run_ids import SUMMARY
from reconcile.storage.base import FetchError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from reconcile.storage.base import Bucket


LOCK, PROBE = "run.lock", ".probe-"
"""The lock's key, and how those of `Output.store_time` begin."""


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
        self.server_time()

    def server_time(self) -> datetime:
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
        keys = [stored.key for page in self.bucket.list_pages(f"{folder}/") for stored in page]
        paths = {key: self.bucket.local_path(key) or work / key for key in keys if key.endswith(".parquet")}
        self._download_all([key for key, path in paths.items() if not path.exists()], work)
        return [str(path) for path in paths.values()]

    def _download_all(self, keys: Sequence[str], work: Path) -> None:
        """Bring objects to `work`, many at a time: each is 20 ms or more under way, and there may be thousands."""
        if not keys:
            return
        workers = min(fetches_in_flight(), len(keys))
        with StageGroup() as stages:
            brought: Channel[Path] = Channel(stages, 2 * workers, workers)

            def bring(worker: int) -> None:
                for key in keys[worker::workers]:
                    brought.put(self._download(key, work))

            stages.start("bring", workers, bring, brought)
            for _ in brought:
                pass

    def _download(self, key: str, work: Path) -> Path:
        path = work / key
        if not path.exists():  # parts never change
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self.bucket.download(key, path)
            except FetchError as error:
                raise ReconcileError(f"{self.bucket.url(key)}: {error}") from None
        return path

    def local_run_file(self, run_id: str, name: str, work: Path) -> Path | None:
        """A file of a run on this machine, brought to `work` where it lies on S3; None where there is none."""
        key = f"runs/{run_id}/{name}"
        if not any(stored.key == key for page in self.bucket.list_pages(f"runs/{run_id}/") for stored in page):
            return None
        return self.bucket.local_path(key) or self._download(key, work)

    def finished_runs(self) -> list[str]:
        """The ids of the runs that have a summary, the one that wrote it last first."""
        found = [stored for page in self.bucket.list_pages("runs/") for stored in page]
        summaries = [stored for stored in found if re.fullmatch(r"runs/[^/]+/summary\.json", stored.key)]
        return [stored.key.split("/")[1] for stored in sorted(summaries, key=lambda one: one.modified, reverse=True)]

    def has_finished(self, run_id: str) -> bool:
        """Whether a run of that id has written its summary, the last thing a run writes."""
        found = self.bucket.list_pages(f"runs/{run_id}/")
        return any(stored.key == f"runs/{run_id}/{SUMMARY}" for page in found for stored in page)

    def write_run_file(self, run_id: str, name: str, content: bytes | Path) -> str:
        """Put one file into the run's folder; returns where a person finds it."""
        key = f"runs/{run_id}/{name}"
        self.bucket.put(key, content)
        return self.bucket.url(key)
