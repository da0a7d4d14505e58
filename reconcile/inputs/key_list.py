"""`--keys`: the objects of a bucket, from an S3 Inventory or a table of keys and ETags."""

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
from reconcile.inputs.key_files import ENDINGS, KeyFileReader, is_key_file
from reconcile.inputs.s3_inventory import read_manifest
from reconcile.inputs.tables.formats import split_sheet
from reconcile.storage.base import FetchError
from reconcile.storage.open import file_ending, open_bucket, split_location
from reconcile.text import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconcile.inputs.s3_inventory import InventoryFile, Manifest
    from reconcile.storage.base import Bucket, S3Access


class KeyList:
    """The objects of a bucket as `--keys` lists them. The objects may have changed meanwhile.

    Files are downloaded one at a time and deleted after reading. So memory and disk space do not grow with the number
    of files.
    """

    def __init__(
        self,
        location: str,
        access: S3Access,
        bucket: Bucket,
        scratch: Path,
        warn: Callable[[str], None] = lambda problem: None,
    ) -> None:
        """Read the manifest of an inventory. Other files are not opened yet.

        Args:
            location: a path or `s3://bucket/key` of the manifest.json of an S3 Inventory, or of a table of keys. It may
                name a sheet: `keys.xlsx#Sheet2`.
            access: how to reach S3.
            bucket: the bucket that holds the objects.
            scratch: the folder for one downloaded file at a time.
            warn: called with each problem of a row or of a column, once, even if the list is read several times.

        Raises:
            UsageError: the file has another ending, or `bucket` is a folder.
            ReconcileError: the file does not exist, is not a manifest, or lists another bucket.
        """
        if not bucket.location.startswith("s3://"):
            raise UsageError(f"--keys needs a bucket, but {bucket.location} is a folder; leave out --keys")
        self._location, self._scratch = location, scratch
        name, prefix = split_location(bucket.location)
        self._bucket_name, self._base = name, f"{prefix}/" if prefix else ""
        self._folder, self._name = _locate(split_sheet(location)[0], access)
        self._warn, self._warned = warn, set[str]()
        self._reader = KeyFileReader(location, self._warn_once)
        self._manifest: Manifest | None = None
        if self._name.endswith(".json"):
            self._manifest = read_manifest(self._read(), location)
            if self._manifest.source_bucket != name:
                raise ReconcileError(
                    f"--keys {location} is an inventory of the bucket {self._manifest.source_bucket}, not of {name}"
                )
        elif not is_key_file(self._name):
            raise UsageError(f"--keys {location}: expected manifest.json, or a file ending in {', '.join(ENDINGS)}")

    def describe(self) -> str:
        """Return one line about the file and, for an inventory, about its age."""
        manifest = self._manifest
        if manifest is None:
            return f"keys from {self._location} instead of a listing"
        files = plural(len(manifest.files), f"{manifest.file_format} file")
        return (
            f"keys from the inventory of {manifest.created:%Y-%m-%d %H:%MZ} "
            f"({manifest.age_text(datetime.now(UTC))}, {files}); later photos are not in it"
        )

    def list_pages(self, prefix: str) -> Iterator[pa.Table]:
        """List the objects under the folder `prefix`, in the order of the files. Keys are relative to the bucket.

        Yields:
            tables with the columns key, size, etag and modified.

        Raises:
            ReconcileError: a file is missing or damaged, or lists another bucket.
        """
        folder = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        if self._manifest is None:
            with self._local_file(self._name) as path:
                for rows in self._reader.read_table(path):
                    yield self._within(self._relative(rows), folder)
            return
        file_format, columns = self._manifest.file_format, self._manifest.columns
        for file in self._manifest.files:
            with self._local_file(file.key, file) as path:
                for rows in self._reader.read_inventory_file(path, file.key, file_format, columns):
                    yield self._within(self._under(rows, self._base), folder)

    def _warn_once(self, problem: str) -> None:
        if problem not in self._warned:
            self._warned.add(problem)
            self._warn(problem)

    def _relative(self, rows: pa.Table) -> pa.Table:
        """Make the keys of a table relative to the bucket's prefix. They may be relative already."""
        if "bucket" in rows.column_names:
            others = [name for name in pc.unique(rows["bucket"]).to_pylist() if name not in ("", self._bucket_name)]
            if others:
                raise ReconcileError(
                    f"--keys {self._location} has keys of the bucket {others[0]}, not of {self._bucket_name}"
                )
        if not self._base:
            return rows
        has_base = pc.starts_with(rows["key"], self._base)
        return pa.concat_tables([self._under(rows, self._base), rows.filter(pc.invert(has_base))])

    @staticmethod
    def _under(rows: pa.Table, base: str) -> pa.Table:
        """Keep the rows whose keys begin with `base`, and remove it from their keys."""
        if not base:
            return rows
        rows = rows.filter(pc.starts_with(rows["key"], base))
        relative = pc.utf8_slice_codeunits(rows["key"], len(base))
        return rows.set_column(rows.column_names.index("key"), "key", relative)

    @staticmethod
    def _within(rows: pa.Table, folder: str) -> pa.Table:
        rows = rows.select(["key", "size", "etag", "modified"])
        return rows.filter(pc.starts_with(rows["key"], folder)) if folder else rows

    @contextmanager
    def _local_file(self, key: str, expected: InventoryFile | None = None) -> Iterator[Path]:
        """Provide the file of a key on this machine, and compare it with the manifest.

        A downloaded file is deleted at the end.

        Raises:
            ReconcileError: the file is missing or damaged.
        """
        with tempfile.TemporaryDirectory(prefix="keys-", dir=self._scratch) as folder:
            path = self._path_on_disk(key)
            if path is None:
                path = Path(folder, "1" + file_ending(key))  # a key may end in .. or be longer than a file name
                try:
                    self._folder.download(key, path)
                except FetchError as error:
                    raise ReconcileError(f"--keys {self._location}: {self._folder.url(key)}: {error}") from None
            if expected is not None:
                self._verify(path, expected)
            yield path

    def _path_on_disk(self, key: str) -> Path | None:
        """Return the path of a key if the list is on this disk, or None if it is on S3.

        A person may have copied a whole bucket or only a folder of it. So the end of the key is searched for in every
        folder above the manifest.
        """
        if self._folder.local_path(key) is None:
            return None
        manifest_folder = Path(self._folder.location)
        names = [part for part in key.split("/") if part not in ("", ".", "..")]
        for parent in (manifest_folder, *manifest_folder.parents):
            for start in range(len(names)):
                path = parent.joinpath(*names[start:])
                if path.is_file():
                    return path
        raise ReconcileError(
            f"--keys {self._location}: the manifest names the file {key}, but no folder above the manifest has it; "
            "copy the files of the inventory, too"
        )

    def _verify(self, path: Path, expected: InventoryFile) -> None:
        size = path.stat().st_size
        if expected.size is not None and size != expected.size:
            raise ReconcileError(
                f"--keys {self._location}: {expected.key} has {size:,} bytes, but the manifest says {expected.size:,}"
            )
        if expected.md5 is not None:
            with path.open("rb") as file:
                md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
            if md5 != expected.md5.lower():
                raise ReconcileError(
                    f"--keys {self._location}: {expected.key} is damaged: its MD5 differs from the one in the manifest"
                )

    def _read(self) -> bytes:
        try:
            return self._folder.get(self._name)
        except FetchError as error:
            raise ReconcileError(f"--keys {self._location}: {error}") from None


def _locate(location: str, access: S3Access) -> tuple[Bucket, str]:
    """Return the bucket or folder of a file, and the file's key in it."""
    if location.startswith("s3://"):
        name, key = split_location(location)
        if not key:
            raise UsageError(f"--keys {location} names a bucket, but no object in it")
        return open_bucket(f"s3://{name}", access), key
    path = Path(location).expanduser()
    if not path.is_file():
        raise ReconcileError(f"--keys: there is no file {location}")
    return open_bucket(f"{path.parent.resolve()}/", access), path.name


def filter_json(rows: pa.Table, *, is_json: bool) -> pa.Table:
    """Keep the objects whose keys end in .json, or the others if `is_json` is False."""
    ends_in_json = pc.ends_with(pc.utf8_lower(rows["key"]), ".json")
    return rows.filter(ends_in_json if is_json else pc.invert(ends_in_json))
