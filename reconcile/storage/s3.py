"""An S3 bucket, or a prefix of one: obstore moves the bytes, boto3 knows about profiles and credentials."""

from __future__ import annotations

import os
import re
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, PermissionDeniedError, PreconditionError, UnauthenticatedError

from reconcile.errors import ReconcileError
from reconcile.storage.base import FetchError, S3Access, StoredObject
from reconcile.storage.retry import GIVEN_UP_IN_A_ROW, FaultKind, Retries, RetriesExhausted
from reconcile.storage.s3_client import S3Connection
from reconcile.storage.s3_errors import REQUEST_ERRORS, classify_error
from reconcile.storage.s3_listing import S3Listing, plain_etag, without_markers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from obstore import PutMode


PART_BYTES = 5 * 1024 * 1024
"""Larger objects are written in parts of this size, the smallest that S3 takes."""
_PARTS_IN_FLIGHT = 4
_CHUNK_BYTES = 1024 * 1024
T = TypeVar("T")
_MEANINGS = {
    "InvalidAccessKeyId": "the access key is not known there",
    "SignatureDoesNotMatch": "the secret key does not fit the access key",
    "ExpiredToken": "the credentials have expired",
    "RequestTimeTooSkewed": "this machine's clock is off",
    "PermanentRedirect": "the bucket is in another region; set --region",
    "AuthorizationHeaderMalformed": "the bucket is in another region; set --region",
    "InvalidToken": "the session token is not accepted",
    "SlowDown": "S3 kept asking to slow down",
    "InternalError": "S3 had an error of its own",
}
_NOT_REACHED = {
    "dns error": " (there is no host of that name)",
    "ConnectionRefused": " (nothing listens there)",
    "InvalidCertificate": " (its certificate is not trusted here)",
    "InvalidMessage": " (what answers there does not speak https)",
}
"""Words of obstore's account of what went wrong."""


class S3Bucket:
    """See `bucket.Bucket`."""

    def __init__(self, name: str, prefix: str, access: S3Access) -> None:
        self.location = f"s3://{name}" + (f"/{prefix}" if prefix else "")
        # As the AWS CLI, which takes an endpoint from the environment too.
        endpoint = access.endpoint_url or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        access = replace(access, endpoint_url=endpoint)
        self._name, self._access = name, access
        self._retries = Retries()
        self._lock = threading.Lock()
        self._connection = S3Connection(name, prefix, access)
        self.access = replace(access, region=self._connection.region)

    def _ask(
        self,
        request: Callable[[S3Connection], T],
        *,
        use_full_budget: bool,
        during_shutdown: bool = False,
        probe: Callable[[S3Connection], object] | None = None,
    ) -> T:
        """Make a request, repeated as `Retries.call` has it; credentials that are not taken are looked for anew."""

        def once() -> T:
            connection = self._connection
            try:
                return request(connection)
            except REQUEST_ERRORS as error:
                if classify_error(error) is FaultKind.CREDENTIALS:
                    self._renew(connection)
                raise

        by_the_way = None if probe is None else lambda: probe(self._connection)
        return self._retries.call(
            once, classify_error, use_full_budget=use_full_budget, during_shutdown=during_shutdown, probe=by_the_way
        )

    def _renew(self, refused: S3Connection) -> None:
        with self._lock:
            if self._connection is refused:  # else another thread was first
                self._connection = refused.renewed()

    def list_pages(self, prefix: str = "") -> Iterator[list[StoredObject]]:
        """Objects under `prefix`."""
        listing = S3Listing(prefix)
        try:
            pages = iter(lambda: self._ask(listing.next_page, use_full_budget=True), None)
            yield from without_markers(pages, prefix, self._is_there)
        except REQUEST_ERRORS as error:
            raise ReconcileError(self._explain(error, "list")) from None

    def _is_there(self, key: str) -> bool:
        """Whether there is an object of just this name; one that may not be asked for is taken to be there."""
        try:
            self._ask(lambda connection: obstore.head(connection.reading, key), use_full_budget=True)
        except FileNotFoundError:
            return False
        except (ValueError, PermissionDeniedError, UnauthenticatedError):  # obstore has no word for it, or no leave
            return True
        return True

    def get(self, key: str, etag: str | None = None) -> bytes:
        """The bytes of an object."""
        if self._retries.circuit_is_open:
            raise ReconcileError(
                f"{GIVEN_UP_IN_A_ROW} requests in a row failed, so S3 is taken to be down; what was done is kept. "
                f"The last one: {self._explain(self._retries.last_error, 'read')}"
            )
        try:
            return self._ask(
                lambda connection: _whole(connection, key, etag), use_full_budget=False, probe=_is_anybody_there
            )
        except FileNotFoundError:
            raise FetchError("there is no such object (any more)") from None
        except REQUEST_ERRORS as error:
            raise FetchError(self._explain(error, "read")) from None

    def download(self, key: str, path: Path) -> None:
        """Write an object to a file; what breaks off is begun anew."""
        try:
            self._ask(lambda connection: _to_file(connection, key, path), use_full_budget=True)
        except FileNotFoundError:
            raise FetchError("there is no such object (any more)") from None
        except REQUEST_ERRORS as error:
            raise FetchError(self._explain(error, "read")) from None

    def put(self, key: str, data: bytes | Path) -> None:
        """Write an object, in parts where it is large. Put again, it is the same object: nothing is doubled."""
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
        """An object as it is now."""
        try:
            return self._ask(lambda connection: _as_it_is(connection, key), use_full_budget=True, during_shutdown=True)
        except FileNotFoundError:
            return None
        except REQUEST_ERRORS as error:
            raise FetchError(self._explain(error, "read")) from None

    def create(self, key: str, data: bytes) -> bool:
        """Write an object that is not there."""
        return self._put_if(key, data, "create")

    def replace(self, key: str, data: bytes, etag: str) -> bool:
        """Write over an object."""
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
                return False  # nothing is there to be replaced
            if "501 Not Implemented" not in str(error):
                raise ReconcileError(self._explain(error, "write")) from None
            self.put(key, data)  # a server that knows no conditions, and says so
        return True

    def delete(self, key: str) -> None:
        """Remove an object."""
        try:
            self._ask(
                lambda connection: obstore.delete(connection.reading, key), use_full_budget=True, during_shutdown=True
            )
        except REQUEST_ERRORS as error:
            raise ReconcileError(self._explain(error, "delete")) from None

    def incomplete_writes(self) -> Iterator[StoredObject]:
        """None: S3 shows no object before it is whole."""
        yield from ()

    def local_path(self, key: str) -> Path | None:
        """It lies on no disk of this machine."""
        return None

    def url(self, key: str) -> str:
        """Its s3:// address."""
        return f"{self.location}/{key}"

    def _explain(self, error: Exception | None, verb: str) -> str:
        if isinstance(error, RetriesExhausted):
            return f"{self._explain(error.error, verb)}; {error.effort}"
        text = str(error)
        endpoint = self._access.endpoint_url
        where = self.location + (f" at {endpoint}" if endpoint else "")
        if "NoSuchBucket" in text:
            hint = f" (for the folder of that name say ./{self._name})" if Path(self._name).is_dir() else ""
            return f"there is no bucket {where}{hint}"
        for code, meaning in _MEANINGS.items():
            if code in text:
                return f"cannot {verb} {where}: {meaning} ({code})"
        denied = isinstance(error, PermissionDeniedError | UnauthenticatedError)
        if self._access.no_sign_request and ("400 Bad Request" in text or "403 Forbidden" in text or denied):
            return f"cannot {verb} {where}: unsigned requests are refused; drop --no-sign-request and set credentials"
        if denied or "403 Forbidden" in text or "401 Unauthorized" in text or "AccessDenied" in text:
            return f"cannot {verb} {where}: access denied; check the credentials' permissions or --no-sign-request"
        if "body error" in text:
            return f"cannot {verb} {where}: the connection broke off or went silent in the middle of an answer"
        if "error sending request" in text or "HTTP error" in text:
            why = next((meaning for sign, meaning in _NOT_REACHED.items() if sign in text), "")
            if self._retries.has_answered:
                return f"cannot {verb} {where}: no answer this time{why}; is S3 up, and the network?"
            return f"cannot {verb} {where}: no answer{why}; check --endpoint-url, --region and the network"
        return f"cannot {verb} {where}: {_without_body(text)[:300]}"


def _without_body(text: str) -> str:
    """What failed, and of the server's answer its code and message alone: the rest may repeat the session token."""
    start, _, body = text.partition("<")
    start = start.partition("\n")[0]
    said = [found[1] for name in ("Code", "Message") if (found := re.search(f"<{name}>([^<]*)</{name}>", f"<{body}"))]
    return " ".join([start.strip(), *said])


def _is_anybody_there(connection: S3Connection) -> None:
    """Ask for an object that is not there: to say so, or to say that it is not allowed, is an answer."""
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


def _whole(connection: S3Connection, key: str, etag: str | None) -> bytes:
    """One object, read to its end.

    Its etag is compared here and not by S3 (`If-Match`): not every server heeds the condition, and whether the etag has
    quotes differs between them. Where it is another one, the body is left unread.
    """
    try:
        result = obstore.get(connection.reading, key)
        found, read = result.meta["e_tag"], result.bytes
    except ValueError:  # a key that obstore has no word for
        answer = connection.boto.get_object(Bucket=connection.name, Key=connection.base + key)
        found, read = answer["ETag"], answer["Body"].read
    if etag is not None and plain_etag(found) != etag:
        raise FetchError("the object changed between listing and fetching; the next listing has the new one")
    return bytes(read())


def _to_file(connection: S3Connection, key: str, path: Path) -> None:
    try:
        chunks: Iterable[Any] = obstore.get(connection.bringing, key).stream(min_chunk_size=_CHUNK_BYTES)
    except ValueError:  # a key that obstore has no word for
        chunks = connection.boto.get_object(Bucket=connection.name, Key=connection.base + key)["Body"].iter_chunks(
            _CHUNK_BYTES
        )
    with path.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)


def _as_it_is(connection: S3Connection, key: str) -> tuple[StoredObject, bytes]:
    result = obstore.get(connection.reading, key)
    meta = result.meta
    stored = StoredObject(key, meta["size"], plain_etag(meta["e_tag"]), meta["last_modified"])
    return stored, bytes(result.bytes())
