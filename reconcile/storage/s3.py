"""An S3 bucket, or a prefix of one: obstore for bytes, boto3 for credentials and unusual keys."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, PermissionDeniedError, PreconditionError, UnauthenticatedError

from reconcile.errors import ReconcileError
from reconcile.storage.base import FetchError, S3Access, StoredObject
from reconcile.storage.retry import GIVEN_UP_IN_A_ROW, FaultKind, Retries
from reconcile.storage.s3_client import S3Connection
from reconcile.storage.s3_errors import REQUEST_ERRORS, classify_error
from reconcile.storage.s3_listing import S3Listing, plain_etag, without_markers
from reconcile.storage.s3_messages import explain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from obstore import PutMode


PART_BYTES = 5 * 1024 * 1024
"""Larger objects are uploaded in parts of this size, the smallest that S3 accepts."""
_PARTS_IN_FLIGHT = 4
_NOT_UTF8 = "\ufffd"
"""The character that replaces bytes that are not UTF-8."""
_CHUNK_BYTES = 1024 * 1024
T = TypeVar("T")


class S3Bucket:
    """An S3 bucket that implements `storage.base.Bucket`."""

    def __init__(self, name: str, prefix: str, access: S3Access) -> None:
        self.location = f"s3://{name}" + (f"/{prefix}" if prefix else "")
        self._retries = Retries()
        self._lock = threading.Lock()
        self._connection = S3Connection(name, prefix, access)
        endpoint = self._connection.endpoint
        self.address = endpoint.url
        self.access = replace(access, endpoint_url=endpoint.configured_url, region=self._connection.region)

    def _ask(
        self,
        request: Callable[[S3Connection], T],
        *,
        use_full_budget: bool,
        during_shutdown: bool = False,
        probe: Callable[[S3Connection], object] | None = None,
    ) -> T:
        """Make a request with the retries of `Retries.call`. If S3 refuses the credentials, look for new ones."""

        def once() -> T:
            connection = self._connection
            try:
                return request(connection)
            except REQUEST_ERRORS as error:
                if classify_error(error) is FaultKind.CREDENTIALS:
                    self._renew(connection)
                raise

        probe_once = None if probe is None else lambda: probe(self._connection)
        return self._retries.call(
            once, classify_error, use_full_budget=use_full_budget, during_shutdown=during_shutdown, probe=probe_once
        )

    def _renew(self, refused: S3Connection) -> None:
        with self._lock:
            if self._connection is refused:  # otherwise another thread has renewed it already
                self._connection = refused.renewed()

    def list_pages(self, prefix: str = "") -> Iterator[list[StoredObject]]:
        """List the objects under `prefix`."""
        listing = S3Listing(prefix)
        try:
            pages = iter(lambda: self._ask(listing.next_page, use_full_budget=True), None)
            yield from without_markers(pages, prefix, self._exists)
        except REQUEST_ERRORS as error:
            raise ReconcileError(self._explain(error, "list")) from None

    def _exists(self, key: str) -> bool:
        """Return whether there is an object of exactly this name. A forbidden object counts as existing."""
        try:
            self._ask(lambda connection: obstore.head(connection.reading, key), use_full_budget=True)
        except FileNotFoundError:
            return False
        except (ValueError, PermissionDeniedError, UnauthenticatedError):  # ValueError: obstore cannot express the key
            return True
        return True

    def get(self, key: str, etag: str | None = None, check_size: Callable[[int], None] | None = None) -> bytes:
        """Return the bytes of an object."""
        if self._retries.circuit_is_open:
            raise ReconcileError(
                f"{GIVEN_UP_IN_A_ROW} requests in a row failed, so S3 seems to be down. All results so far are kept. "
                f"The last error: {self._explain(self._retries.last_error, 'read')}"
            )
        try:
            return self._ask(
                lambda connection: _read_whole(connection, key, etag, check_size),
                use_full_budget=False,
                probe=_probe_server,
            )
        except FileNotFoundError:
            hint = "; its key in the list of objects is not UTF-8 text" if _NOT_UTF8 in key else ""
            raise FetchError(f"the object does not exist (any more){hint}") from None
        except REQUEST_ERRORS as error:
            raise FetchError(self._explain(error, "read")) from None

    def download(self, key: str, path: Path) -> None:
        """Write an object to a file. A broken download starts again."""
        try:
            self._ask(lambda connection: _to_file(connection, key, path), use_full_budget=True)
        except FileNotFoundError:
            raise FetchError("the object does not exist (any more)") from None
        except REQUEST_ERRORS as error:
            raise FetchError(self._explain(error, "read")) from None

    def put(self, key: str, data: bytes | Path) -> None:
        """Write an object, in parts if it is large. A retry writes the same object again and duplicates nothing."""
        try:
            size = data.stat().st_size if isinstance(data, Path) else len(data)
            if size <= PART_BYTES:
                whole = data.read_bytes() if isinstance(data, Path) else data
                self._ask(
                    lambda connection: obstore.put(connection.writing, key, whole),
                    use_full_budget=True,
                    during_shutdown=True,
                )
            else:
                self._ask(
                    lambda connection: _put_in_parts(connection, key, data), use_full_budget=True, during_shutdown=True
                )
        except REQUEST_ERRORS as error:
            raise ReconcileError(self._explain(error, "write")) from None

    def read(self, key: str) -> tuple[StoredObject, bytes] | None:
        """Return an object's current bytes, etag and time, or None if it does not exist."""
        try:
            return self._ask(
                lambda connection: _read_current(connection, key), use_full_budget=True, during_shutdown=True
            )
        except FileNotFoundError:
            return None
        except REQUEST_ERRORS as error:
            raise FetchError(self._explain(error, "read")) from None

    def create(self, key: str, data: bytes) -> bool:
        """Write an object if the key is unused."""
        return self._put_if(key, data, "create")

    def replace(self, key: str, data: bytes, etag: str) -> bool:
        """Overwrite an object if its etag is still `etag`."""
        return self._put_if(key, data, {"e_tag": f'"{etag}"'})

    def _put_if(self, key: str, data: bytes, mode: PutMode) -> bool:
        try:
            self._ask(
                lambda connection: obstore.put(connection.writing, key, data, mode=mode),
                use_full_budget=True,
                during_shutdown=True,
            )
        except (AlreadyExistsError, PreconditionError):
            return False
        except REQUEST_ERRORS as error:
            if isinstance(error, FileNotFoundError) and "NoSuchBucket" not in str(error):
                return False  # there is no object to replace
            if "501 Not Implemented" not in str(error):
                raise ReconcileError(self._explain(error, "write")) from None
            self.put(key, data)  # the server says that it does not support conditions
        return True

    def delete(self, key: str) -> None:
        """Delete an object."""
        try:
            self._ask(
                lambda connection: obstore.delete(connection.reading, key), use_full_budget=True, during_shutdown=True
            )
        except REQUEST_ERRORS as error:
            raise ReconcileError(self._explain(error, "delete")) from None

    def incomplete_writes(self) -> Iterator[StoredObject]:
        """Yield nothing, because S3 shows an object only when it is complete."""
        yield from ()

    def local_path(self, key: str) -> Path | None:
        """Return None, because the object is not on this machine's disk."""
        return None

    def url(self, key: str) -> str:
        """Return the object's s3:// address."""
        return f"{self.location}/{key}"

    def _explain(self, error: Exception | None, verb: str) -> str:
        return explain(error, verb, self.location, self.access, has_answered=self._retries.has_answered)


def _probe_server(connection: S3Connection) -> None:
    """Ask for an object that does not exist. Both "not found" and "not allowed" show that the server answers."""
    obstore.head(connection.reading, ".reconcile-is-anybody-there")


def _put_in_parts(connection: S3Connection, key: str, data: bytes | Path) -> None:
    obstore.put(
        connection.writing_in_parts,
        key,
        data,
        use_multipart=True,
        chunk_size=PART_BYTES,
        max_concurrency=_PARTS_IN_FLIGHT,
    )


def _read_whole(
    connection: S3Connection, key: str, etag: str | None, check_size: Callable[[int], None] | None
) -> bytes:
    """Read one object to its end.

    The etag is compared here and not by S3 (`If-Match`), because not every server supports the condition and servers
    quote the etag differently. If the etag or the size is wrong, the body is not read.
    """
    try:
        result = obstore.get(connection.reading, key)
        current, size, read = result.meta["e_tag"], result.meta["size"], result.bytes
    except ValueError:  # obstore cannot express this key
        answer = connection.boto.get_object(Bucket=connection.name, Key=connection.base + key)
        current, size, read = answer["ETag"], answer["ContentLength"], answer["Body"].read
    if etag == "" and current:
        raise FetchError("the list of objects has no ETag of this one, so a change of it cannot be seen")
    if etag is not None and plain_etag(current) != etag:
        raise FetchError("the object changed after it was listed; the next run reads the new version")
    if check_size is not None:
        check_size(size)
    return bytes(read())


def _to_file(connection: S3Connection, key: str, path: Path) -> None:
    try:
        chunks: Iterable[Any] = obstore.get(connection.downloading, key).stream(min_chunk_size=_CHUNK_BYTES)
    except ValueError:  # obstore cannot express this key
        chunks = connection.boto.get_object(Bucket=connection.name, Key=connection.base + key)["Body"].iter_chunks(
            _CHUNK_BYTES
        )
    with path.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)


def _read_current(connection: S3Connection, key: str) -> tuple[StoredObject, bytes]:
    result = obstore.get(connection.reading, key)
    meta = result.meta
    stored = StoredObject(key, meta["size"], plain_etag(meta["e_tag"]), meta["last_modified"])
    return stored, bytes(result.bytes())
