"""The layout of `<out>`, and atomic writes to it.

counts/<model id>/*.parquet    one row per image that was counted or found unreadable
records/*.parquet              one row per JSON record that was read
verdicts/*.parquet             one row per recount of a bin by a person
inbox/                         files of verdicts that the next run imports; people and other systems put them there
inbox/imported/, inbox/rejected/  files that a run has imported, and lines that it could not import
transform/                     files of SageMaker jobs; see engines/sagemaker/job_store.py
runs/<run id>/                 results of one run: summary.json, reconciled.parquet, recount.csv, report.html
run.lock                       the owner of the run lock; see lock.py
"""

from __future__ import annotations

import hashlib
import re
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from reconcile.concurrency.channels import Channel, StageGroup
from reconcile.concurrency.cpu import fetches_in_flight
from reconcile.errors import ReconcileError
from reconcile.output.run_ids import RUN_ID_FORM, SUMMARY
from reconcile.storage.base import FetchError
from reconcile.storage.open import file_ending

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from reconcile.storage.base import Bucket


INBOX, IMPORTED, REJECTED = "inbox/", "inbox/imported/", "inbox/rejected/"
LOCK, PROBE = "run.lock", ".probe-"
"""The key of the run lock, and the start of the keys that `Output.server_time` writes."""
_SUMMARY_KEY = re.compile(rf"runs/{RUN_ID_FORM.pattern}/{re.escape(SUMMARY)}")
_NO_NAMES = {"", ".", ".."}
_COPY_DIGITS = 32


class Output:
    """`<out>`, a local folder or on S3: append-only Parquet parts, and one folder per run."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.location = bucket.location

    def check_writable(self) -> None:
        """Check that `<out>` is writable, by writing and deleting a small object.

        Raises:
            ReconcileError: the object cannot be written, read or deleted.
        """
        self.server_time()

    def server_time(self) -> datetime:
        """Return the current time by the clock of the store, from a small object that is written for this.

        Raises:
            ReconcileError: the object cannot be written, read or deleted.
        """
        key = f"{PROBE}{uuid.uuid4().hex}"
        try:
            self.bucket.put(key, b"reconcile can write here\n")
        except ReconcileError as error:
            # A person knows <out>, but not the name of the probe.
            raise ReconcileError(str(error).replace(self.bucket.url(key), self.location)) from None
        try:
            probe = self.bucket.read(key)
        except FetchError as error:
            raise ReconcileError(str(error)) from None
        finally:
            self.bucket.delete(key)
        if probe is None:
            raise ReconcileError(f"{self.bucket.url(key)} was written, but cannot be read back; check --out")
        return probe[0].modified

    def write_part(self, folder: str, rows: pa.Table, name: str | None = None) -> None:
        """Write one Parquet part to a folder. Parts sort by the time of writing.

        Args:
            folder: a folder in `<out>`, such as `records`.
            rows: the rows of the part, with a schema of `output.schemas`.
            name: the name of the part, for rows that may be written twice. A part of the same name is replaced.

        Raises:
            ReconcileError: the part cannot be written.
        """
        sink = pa.BufferOutputStream()
        pq.write_table(rows, sink, compression="zstd")
        name = name or f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}-{uuid.uuid4().hex[:8]}"
        self.bucket.put(f"{folder}/part-{name}.parquet", sink.getvalue().to_pybytes())

    def local_parts(self, folder: str, scratch: Path) -> list[str]:
        """Return local paths of all parts of a folder. Parts on S3 are downloaded to `scratch` first.

        DuckDB only reads local files, so no query ever contains a credential.

        Raises:
            ReconcileError: the folder cannot be listed, a part cannot be downloaded, or reconcile did not write a part,
                such as `counts/../part.parquet`.
        """
        keys = [stored.key for page in self.bucket.list_pages(f"{folder}/") for stored in page]
        for key in keys:
            if _NO_NAMES.intersection(key.split("/")):
                raise ReconcileError(
                    f"reconcile did not write {self.bucket.url(key)}, because a part of its key is empty, . or ..; "
                    "remove the object"
                )
        paths = {
            key: self.bucket.local_path(key) or self._copy_path(key, scratch)
            for key in keys
            if key.endswith(".parquet")
        }
        self._download_all([key for key, path in paths.items() if not path.exists()], scratch)
        return [str(path) for path in paths.values()]

    def _download_all(self, keys: Sequence[str], scratch: Path) -> None:
        """Download objects in parallel, because there may be thousands and each request takes a while."""
        if not keys:
            return
        workers = min(fetches_in_flight(), len(keys))
        with StageGroup() as stages:
            downloaded: Channel[Path] = Channel(stages, 2 * workers, workers)

            def download(worker: int) -> None:
                for key in keys[worker::workers]:
                    downloaded.put(self._download(key, scratch))

            stages.start("download", workers, download, downloaded)
            for _ in downloaded:
                pass

    def _download(self, key: str, scratch: Path) -> Path:
        path = self._copy_path(key, scratch)
        if not path.exists():  # parts never change
            try:
                self.bucket.download(key, path)
            except FetchError as error:
                raise ReconcileError(f"{self.bucket.url(key)}: {error}") from None
        return path

    def _copy_path(self, key: str, scratch: Path) -> Path:
        """Return the path of the local copy of an object.

        A number stands for the key, because a key may be too long for a file name.
        """
        number = hashlib.sha256(self.bucket.url(key).encode()).hexdigest()[:_COPY_DIGITS]
        return scratch / f"copy-{number}{file_ending(key)}"

    def local_run_file(self, run_id: str, name: str, scratch: Path) -> Path | None:
        """Return the local path of a run's file, or None if it does not exist. It is downloaded from S3 first.

        Raises:
            ReconcileError: the file cannot be downloaded.
        """
        key = f"runs/{run_id}/{name}"
        if not any(stored.key == key for page in self.bucket.list_pages(f"runs/{run_id}/") for stored in page):
            return None
        return self.bucket.local_path(key) or self._download(key, scratch)

    def finished_runs(self) -> list[str]:
        """Return the ids of the runs that have a summary, the last written one first."""
        listed = [stored for page in self.bucket.list_pages("runs/") for stored in page]
        summaries = [stored for stored in listed if _SUMMARY_KEY.fullmatch(stored.key)]
        summaries.sort(key=lambda stored: stored.modified, reverse=True)
        return [stored.key.split("/")[1] for stored in summaries]

    def has_finished(self, run_id: str) -> bool:
        """Return whether a run of this id has written its summary, the last file that a run writes."""
        pages = self.bucket.list_pages(f"runs/{run_id}/")
        return any(stored.key == f"runs/{run_id}/{SUMMARY}" for page in pages for stored in page)

    def write_run_file(self, run_id: str, name: str, content: bytes | Path) -> str:
        """Write one file to a run's folder, and return the address that a person can use.

        Raises:
            ReconcileError: the file cannot be written.
        """
        key = f"runs/{run_id}/{name}"
        self.bucket.put(key, content)
        return self.bucket.url(key)
