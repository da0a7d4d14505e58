"""What is in a bucket, told by a file instead of by a listing: an S3 Inventory report, or a table of keys and etags."""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from reconcile.errors import ReconcileError, UsageError
from reconcile.inputs.key_files import ENDINGS, read_key_file
from reconcile.inputs.s3_inventory import read_manifest
from reconcile.storage.base import FetchError
from reconcile.storage.open import open_bucket
from reconcile.text import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconcile.inputs.s3_inventory import InventoryFile, Manifest
    from reconcile.storage.base import Bucket, S3Access


class KeyList:
    """The objects of a bucket, as `--keys` tells them. They may have changed or gone since.

    Files are brought one at a time and removed when they are read: neither memory nor disk grows with their number.
    """

    def __init__(self, location: str, access: S3Access, bucket: Bucket, work: Path) -> None:
        """Read the manifest, if it is one; no other file is looked at yet.

        Args:
            location: a path or `s3://bucket/key`: manifest.json of an S3 Inventory, or a CSV or Parquet file.
            access: how to reach S3.
            bucket: whose objects they are.
            work: a folder for one file at a time.

        Raises:
            UsageError: another kind of file, or `bucket` is a folder.
            ReconcileError: the manifest is not there, is none, or is of another bucket.
        """
        if not bucket.location.startswith("s3://"):
            raise UsageError(f"--keys is for buckets; {bucket.location} is a folder, and is listed")
        self._location, self._work = location, work
        name, _, prefix = bucket.location.removeprefix("s3://").partition("/")
        self._bucket_name, self._base = name, f"{prefix}/" if prefix else ""
        self._folder, self._name = _place_of(location, access)
        self._manifest: Manifest | None = None
        if self._name.endswith(".json"):
            self._manifest = read_manifest(self._read(), location)
            if self._manifest.source_bucket != name:
                raise ReconcileError(
                    f"--keys {location} is an inventory of the bucket {self._manifest.source_bucket}, not of {name}"
                )
        elif not self._name.lower().endswith(ENDINGS):
            raise UsageError(f"--keys {location}: expected manifest.json, or a file ending in {', '.join(ENDINGS)}")

    def in_words(self) -> str:
        """What the keys come from, and how old that is."""
        found = self._manifest
        if found is None:
            return f"keys from {self._location}"
        made = f"{found.created:%Y-%m-%d %H:%MZ}, {found.age(datetime.now(UTC))}"
        files = plural(len(found.files), f"{found.file_format} file")
        return f"keys from the inventory of {made}, {files}: what changed since is taken up by a later one"

    def list_pages(self, prefix: str) -> Iterator[pa.Table]:
        """Objects under the folder `prefix`, in the order of the files; their keys are relative to the bucket.

        Raises:
            ReconcileError: a file is missing, broken off, or not as the manifest says.
        """
        folder = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        if self._manifest is None:
            with self._brought(self._name) as path:
                for rows in read_key_file(path, self._location):
                    yield self._within(self._relative(rows), folder)
            return
        for file in self._manifest.files:
            with self._brought(file.key, file) as path:
                is_csv = self._manifest.file_format.lower() == "csv"
                columns = self._manifest.columns if is_csv else ()
                for rows in read_key_file(path, f"{self._location}: {file.key}", columns, encoded=is_csv):
                    yield self._within(self._under(rows, self._base), folder)

    def _relative(self, rows: pa.Table) -> pa.Table:
        """Keys of a table, which may be whole or relative to the bucket's prefix."""
        if "bucket" in rows.column_names:
            others = [name for name in pc.unique(rows["bucket"]).to_pylist() if name not in ("", self._bucket_name)]
            if others:
                raise ReconcileError(
                    f"--keys {self._location} has keys of the bucket {others[0]}, not of {self._bucket_name}"
                )
        if not self._base:
            return rows
        is_whole = pc.starts_with(rows["key"], self._base)
        return pa.concat_tables([self._under(rows, self._base), rows.filter(pc.invert(is_whole))])

    @staticmethod
    def _under(rows: pa.Table, base: str) -> pa.Table:
        """The rows whose keys begin with `base`, without it."""
        if not base:
            return rows
        rows = rows.filter(pc.starts_with(rows["key"], base))
        cut = pc.utf8_slice_codeunits(rows["key"], len(base))
        return rows.set_column(rows.column_names.index("key"), "key", cut)

    @staticmethod
    def _within(rows: pa.Table, folder: str) -> pa.Table:
        rows = rows.select(["key", "size", "etag", "modified"])
        return rows.filter(pc.starts_with(rows["key"], folder)) if folder else rows

    @contextmanager
    def _brought(self, key: str, said: InventoryFile | None = None) -> Iterator[Path]:
        """The file of that key on this machine, for as long as it is needed, and found to be as the manifest says."""
        with tempfile.TemporaryDirectory(prefix="keys-", dir=self._work) as folder:
            path = self._local(key)
            if path is None:
                path = Path(folder) / key.rpartition("/")[2]
                try:
                    self._folder.download(key, path)
                except FetchError as error:
                    raise ReconcileError(f"--keys {self._location}: {self._folder.url(key)}: {error}") from None
            if said is not None:
                self._check(path, said)
            yield path

    def _local(self, key: str) -> Path | None:
        """Where it lies on this disk. A copy of an inventory may be of the whole bucket, or of a folder in it."""
        if self._folder.local_path(key) is None:
            return None
        here = Path(self._folder.location)
        names = [part for part in key.split("/") if part not in ("", ".", "..")]
        for above in (here, *here.parents):
            for start in range(len(names)):
                path = above.joinpath(*names[start:])
                if path.is_file():
                    return path
        raise ReconcileError(f"--keys {self._location}: there is no file {key} beside or above it")

    def _check(self, path: Path, said: InventoryFile) -> None:
        size = path.stat().st_size
        if said.size is not None and size != said.size:
            raise ReconcileError(
                f"--keys {self._location}: {said.key} has {size:,} bytes, and the manifest says {said.size:,}"
            )
        if said.md5 is not None:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
            if found != said.md5.lower():
                raise ReconcileError(f"--keys {self._location}: {said.key} is damaged: its MD5 is not the manifest's")

    def _read(self) -> bytes:
        try:
            return self._folder.get(self._name)
        except FetchError as error:
            raise ReconcileError(f"--keys {self._location}: {error}") from None


def _place_of(location: str, access: S3Access) -> tuple[Bucket, str]:
    """The bucket or folder that a file lies in, and its key there."""
    if location.startswith("s3://"):
        name, _, key = location.removeprefix("s3://").partition("/")
        if not key:
            raise UsageError(f"--keys {location} names a bucket, and no object in it")
        return open_bucket(name, access), key
    path = Path(location).expanduser()
    if not path.is_file():
        raise ReconcileError(f"--keys: there is no file {location}")
    return open_bucket(f"{path.parent.resolve()}/", access), path.name


def of_json(rows: pa.Table, *, is_json: bool) -> pa.Table:
    """The objects that are JSON by their ending, or those that are not."""
    found = pc.ends_with(pc.utf8_lower(rows["key"]), ".json")
    return rows.filter(found if is_json else pc.invert(found))
