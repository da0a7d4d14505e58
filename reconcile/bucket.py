"""Where images, records and results live: list, get and put, for S3 and local folders alike."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError, GenericError, PermissionDeniedError, UnauthenticatedError
from obstore.store import LocalStore, S3Store

from reconcile.errors import ReconcileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

_PAGE = 1000
# Everything obstore raises for a request that failed; a missing object is Python's own FileNotFoundError.
_STORE_ERRORS = (BaseError, OSError)


class FetchError(Exception):
    """One object could not be had; the message is the reason. The next run tries again."""


@dataclass(frozen=True)
class S3Access:
    """How to reach S3, in the words of the AWS CLI. None means: what boto3 finds in the environment."""

    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    no_sign_request: bool = False


@dataclass(frozen=True)
class StoredObject:
    """One object as its listing tells it."""

    key: str
    size: int
    etag: str
    modified: datetime


class Bucket:
    """A bucket, a prefix of one, or a folder. Keys are relative to it."""

    def __init__(self, location: str, store: S3Store | LocalStore, endpoint_url: str | None = None) -> None:
        self.location = location
        self._store = store
        self._endpoint_url = endpoint_url

    def pages(self, prefix: str = "") -> Iterator[list[StoredObject]]:
        """Pages of up to 1000 objects under `prefix`, keys rising.

        Raises:
            ReconcileError: the bucket is not there, may not be listed or cannot be reached.

        """
        if isinstance(self._store, LocalStore):
            yield from self._list_sorted(prefix)
            return
        try:
            for page in obstore.list(self._store, prefix=prefix or None, chunk_size=_PAGE):
                yield [_stored_object(meta) for meta in page]
        except _STORE_ERRORS as error:
            raise ReconcileError(self._explain(error, "list")) from None

    def _list_sorted(self, prefix: str) -> Iterator[list[StoredObject]]:
        """A folder is listed in no order at all, so it has to be read whole before the first page."""
        try:
            pages = obstore.list(self._store, prefix=prefix or None, chunk_size=_PAGE)
            found = [_stored_object(meta) for page in pages for meta in page]
        except _STORE_ERRORS as error:
            raise ReconcileError(self._explain(error, "list")) from None
        found.sort(key=lambda stored: stored.key.encode())
        for start in range(0, len(found), _PAGE):
            yield found[start : start + _PAGE]

    def get(self, key: str, etag: str | None = None) -> bytes:
        """The bytes of one object.

        Args:
            key: relative to the bucket.
            etag: as listed; if the object has another one by now, it is not the one that was asked for.

        Raises:
            FetchError: gone, forbidden, changed since it was listed, or still failing after retries.

        """
        try:
            result = obstore.get(self._store, key)
            if etag is not None and _plain_etag(result.meta["e_tag"]) != etag:
                raise FetchError("the object changed between listing and fetching; the next run takes the new one")
            return bytes(result.bytes())
        except FileNotFoundError:
            raise FetchError("there is no such object (any more)") from None
        except _STORE_ERRORS as error:
            raise FetchError(self._explain(error, "read")) from None

    def put(self, key: str, data: bytes | Path) -> None:
        """Write one object, whole or not at all.

        Raises:
            ReconcileError: it could not be written.

        """
        try:
            obstore.put(self._store, key, data)
        except _STORE_ERRORS as error:
            raise ReconcileError(self._explain(error, "write")) from None

    def delete(self, key: str) -> None:
        """Remove one object.

        Raises:
            ReconcileError: it could not be removed.

        """
        try:
            obstore.delete(self._store, key)
        except _STORE_ERRORS as error:
            raise ReconcileError(self._explain(error, "delete")) from None

    def local_path(self, key: str) -> Path | None:
        """Where `key` lies on this machine's disk; None for S3."""
        return Path(self.location) / key if isinstance(self._store, LocalStore) else None

    def url(self, key: str) -> str:
        """What a person types to get at `key`."""
        return f"{self.location.rstrip('/')}/{key}"

    def _explain(self, error: Exception, verb: str) -> str:
        text = str(error)
        where = self.location + (f" at {self._endpoint_url}" if self._endpoint_url else "")
        if "NoSuchBucket" in text:
            folder = self.location.removeprefix("s3://")
            hint = f" (for the folder of that name say ./{folder})" if Path(folder).is_dir() else ""
            return f"there is no bucket {where}{hint}"
        denied = isinstance(error, PermissionDeniedError | UnauthenticatedError)
        for code, meaning in _S3_CODES.items():
            if code in text:
                return f"cannot {verb} {where}: {meaning} ({code})"
        if denied or "403 Forbidden" in text or "401 Unauthorized" in text:
            return f"cannot {verb} {where}: access denied; check the credentials' permissions or --no-sign-request"
        if "error sending request" in text or "HTTP error" in text:
            return f"cannot {verb} {where}: no answer; check --endpoint-url, --region and the network"
        return f"cannot {verb} {where}: {text.splitlines()[0][:300]}"


_S3_CODES = {
    "InvalidAccessKeyId": "the access key is not known there",
    "SignatureDoesNotMatch": "the secret key does not fit the access key",
    "ExpiredToken": "the credentials have expired",
    "RequestTimeTooSkewed": "this machine's clock is off",
    "PermanentRedirect": "the bucket is in another region; set --region",
    "AuthorizationHeaderMalformed": "the bucket is in another region; set --region",
    "SlowDown": "S3 kept asking to slow down",
    "NoSpaceLeft": "the disk is full",
    "No space left on device": "the disk is full",
}


def is_folder(location: str) -> bool:
    """Whether a location names a local folder: it holds a slash or starts with a dot or a tilde, and no s3://."""
    return not location.startswith("s3://") and ("/" in location or location.startswith((".", "~")))


def open_bucket(location: str, access: S3Access, *, create: bool = False) -> Bucket:
    """Open a bucket name, `s3://name/prefix` or a local folder. Nothing is requested yet.

    Args:
        location: a bare word is a bucket; a folder has a slash or begins with a dot.
        access: how to reach S3; of no concern to a folder.
        create: make the folder if it is not there.

    Raises:
        ReconcileError: no such folder, or no credentials.

    """
    if is_folder(location):
        folder = Path(location).expanduser().absolute()
        try:
            if create:
                folder.mkdir(parents=True, exist_ok=True)
            return Bucket(str(folder), LocalStore(folder))
        except (OSError, GenericError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no such folder"
            raise ReconcileError(f"{folder}: {(reason or 'cannot be opened').lower()}") from None
    name, _, prefix = location.removeprefix("s3://").partition("/")
    if not name:
        raise ReconcileError(f"{location!r} names no bucket")
    shown = f"s3://{name}" + (f"/{prefix.strip('/')}" if prefix.strip("/") else "")
    return Bucket(shown, _s3_store(name, prefix.strip("/"), access), access.endpoint_url)


def bring_file(location: str, access: S3Access, work: Path) -> Path:
    """A path on this machine for one file, given as a path or as `s3://bucket/key`.

    Raises:
        ReconcileError: it is not there or cannot be read.

    """
    if not location.startswith("s3://"):
        path = Path(location).expanduser()
        if not path.is_file():
            raise ReconcileError(f"there is no file {location}")
        return path
    folder, _, name = location.rpartition("/")
    path = work / name
    try:
        path.write_bytes(open_bucket(folder, access).get(name))
    except FetchError as error:
        raise ReconcileError(f"{location}: {error}") from None
    return path


def _s3_store(name: str, prefix: str, access: S3Access) -> S3Store:
    from datetime import timedelta

    import boto3
    import botocore.exceptions

    try:
        session = boto3.Session(profile_name=access.profile)
    except botocore.exceptions.BotoCoreError as error:
        raise ReconcileError(f"AWS profile: {error}") from None
    credentials = None
    if not access.no_sign_request:
        from obstore.auth.boto3 import Boto3CredentialProvider

        try:
            credentials = Boto3CredentialProvider(session)
        except (ValueError, botocore.exceptions.BotoCoreError) as error:
            hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, use --profile, or --no-sign-request"
            detail = "" if isinstance(error, ValueError) else f" ({error})"
            raise ReconcileError(f"no AWS credentials found for s3://{name}{detail}; {hint}") from None
    endpoint = access.endpoint_url
    return S3Store(
        name,
        prefix=prefix or None,
        endpoint=endpoint,
        region=access.region or session.region_name or "us-east-1",
        skip_signature=access.no_sign_request,
        # Buckets of other S3 servers rarely have host names of their own.
        virtual_hosted_style_request=endpoint is None,
        credential_provider=credentials,
        client_options={"allow_http": bool(endpoint and endpoint.startswith("http://")), "timeout": "60s"},
        retry_config={"max_retries": 5, "retry_timeout": timedelta(seconds=60)},
    )


def _stored_object(meta: obstore.ObjectMeta) -> StoredObject:
    return StoredObject(meta["path"], meta["size"], _plain_etag(meta["e_tag"]), meta["last_modified"])


def _plain_etag(etag: str | None) -> str:
    """Some servers quote the etag in a listing and some only in a header."""
    return (etag or "").strip('"')
