"""An S3 bucket, or a prefix of one: obstore moves the bytes, boto3 knows about profiles and credentials."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import botocore
import botocore.exceptions
import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from reconcile.bucket import PAGE, FetchError, S3Access, StoredObject
from reconcile.errors import ReconcileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Everything obstore raises for a request that failed; a missing object is Python's own FileNotFoundError.
_STORE_ERRORS = (BaseError, OSError)
_BOTO_ERRORS = (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError)
_MEANINGS = {
    "InvalidAccessKeyId": "the access key is not known there",
    "SignatureDoesNotMatch": "the secret key does not fit the access key",
    "InvalidToken": "the session token is not known there",
    "ExpiredToken": "the credentials have expired",
    "RequestTimeTooSkewed": "this machine's clock is off",
    "PermanentRedirect": "the bucket is in another region; set --region",
    "AuthorizationHeaderMalformed": "the bucket is in another region; set --region",
    "SlowDown": "S3 kept asking to slow down",
}


class S3Bucket:
    """See `bucket.Bucket`."""

    def __init__(self, name: str, prefix: str, access: S3Access) -> None:
        self.location = f"s3://{name}" + (f"/{prefix}" if prefix else "")
        # As the AWS CLI, which takes an endpoint from the environment too.
        endpoint = access.endpoint_url or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        access = replace(access, endpoint_url=endpoint)
        self._name, self._access = name, access
        self._base = prefix + "/" if prefix else ""
        self._session = _session(access)
        self._store = _store(name, prefix, access, self._session)
        self._lazy_client: Any = None

    def pages(self, prefix: str = "") -> Iterator[list[StoredObject]]:
        """Objects under `prefix`."""
        last = ""
        try:
            try:
                for page in _without_markers(self._obstore_pages(prefix), prefix):
                    yield page
                    last = page[-1].key
            except _STORE_ERRORS as error:
                if "invalid path" not in str(error):
                    raise
                # obstore has no word for keys such as a//b.jpg and ends there; boto3 goes on behind the last one.
                yield from _without_markers(self._boto_pages(prefix, last), prefix)
        except (*_STORE_ERRORS, *_BOTO_ERRORS) as error:
            raise ReconcileError(self._explain(error, "list")) from None

    def _obstore_pages(self, prefix: str) -> Iterator[list[StoredObject]]:
        for page in obstore.list(self._store, prefix=prefix or None, chunk_size=PAGE):
            yield [
                StoredObject(meta["path"], meta["size"], _plain(meta["e_tag"]), meta["last_modified"]) for meta in page
            ]

    def _boto_pages(self, prefix: str, after: str) -> Iterator[list[StoredObject]]:
        folder = self._base + (prefix.rstrip("/") + "/" if prefix else "")
        start = {"StartAfter": self._base + after} if after else {}
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix=folder, **start):
            yield [
                StoredObject(
                    entry["Key"].removeprefix(self._base), entry["Size"], _plain(entry["ETag"]), entry["LastModified"]
                )
                for entry in page.get("Contents", [])
            ]

    @property
    def _client(self) -> Any:
        if self._lazy_client is None:
            unsigned = {"signature_version": botocore.UNSIGNED} if self._access.no_sign_request else {}
            self._lazy_client = self._session.client(
                "s3",
                endpoint_url=self._access.endpoint_url,
                region_name=_region(self._access, self._session),
                config=botocore.config.Config(**unsigned),
            )
        return self._lazy_client

    def get(self, key: str, etag: str | None = None) -> bytes:
        """The bytes of an object."""
        try:
            try:
                result = obstore.get(self._store, key)
                found, read = result.meta["e_tag"], result.bytes
            except ValueError:  # a key that it has no word for
                answer = self._client.get_object(Bucket=self._name, Key=self._base + key)
                found, read = answer["ETag"], answer["Body"].read
            if etag is not None and _plain(found) != etag:
                raise FetchError("the object changed between listing and fetching; the next run takes the new one")
            return bytes(read())
        except FileNotFoundError:
            raise FetchError("there is no such object (any more)") from None
        except (*_STORE_ERRORS, *_BOTO_ERRORS) as error:
            raise FetchError(self._explain(error, "read")) from None

    def put(self, key: str, data: bytes | Path) -> None:
        """Write an object."""
        try:
            obstore.put(self._store, key, data)
        except _STORE_ERRORS as error:
            raise ReconcileError(self._explain(error, "write")) from None

    def delete(self, key: str) -> None:
        """Remove an object."""
        try:
            obstore.delete(self._store, key)
        except _STORE_ERRORS as error:
            raise ReconcileError(self._explain(error, "delete")) from None

    def local_path(self, key: str) -> Path | None:
        """It lies on no disk of this machine."""
        return None

    def url(self, key: str) -> str:
        """Its s3:// address."""
        return f"{self.location}/{key}"

    def _explain(self, error: Exception, verb: str) -> str:
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
        if "error sending request" in text or "HTTP error" in text:
            return f"cannot {verb} {where}: no answer; check --endpoint-url, --region and the network"
        return f"cannot {verb} {where}: {_without_body(text)[:300]}"


def _without_body(text: str) -> str:
    """What failed, and of the server's answer its code and message alone: the rest may repeat the session token."""
    start, _, body = text.partition("<")
    start = start.partition("\n")[0]
    said = [found[1] for name in ("Code", "Message") if (found := re.search(f"<{name}>([^<]*)</{name}>", f"<{body}"))]
    return " ".join([start.strip(), *said])


def _session(access: S3Access) -> Any:
    try:
        return boto3.Session(profile_name=access.profile)
    except botocore.exceptions.BotoCoreError as error:
        raise ReconcileError(f"AWS profile: {error}") from None


def _region(access: S3Access, session: Any) -> str:
    return access.region or session.region_name or "us-east-1"


def _store(name: str, prefix: str, access: S3Access, session: Any) -> S3Store:
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
    # obstore takes no None for an endpoint.
    return S3Store(
        name,
        config=None if endpoint is None else {"endpoint": endpoint},
        prefix=prefix or None,
        region=_region(access, session),
        skip_signature=access.no_sign_request,
        # Buckets of other S3 servers rarely have host names of their own.
        virtual_hosted_style_request=endpoint is None,
        credential_provider=credentials,
        client_options={"allow_http": bool(endpoint and endpoint.startswith("http://")), "timeout": "60s"},
        retry_config={"max_retries": 5, "retry_timeout": timedelta(seconds=60)},
    )


def _without_markers(pages: Iterable[list[StoredObject]], prefix: str) -> Iterator[list[StoredObject]]:
    """Leave out what the AWS console writes to show an empty folder: an object of 0 bytes with a slash at its end.

    obstore drops that slash. What is left has 0 bytes and is the prefix itself, or a folder of the object that follows.
    """
    held: StoredObject | None = None
    for page in pages:
        kept: list[StoredObject] = []
        for stored in page:
            if held is not None and not stored.key.startswith(held.key.rstrip("/") + "/"):
                kept.append(held)
            held = None
            if stored.size == 0 and (stored.key.endswith("/") or stored.key == prefix.rstrip("/")):
                continue
            if stored.size == 0:
                held = stored
            else:
                kept.append(stored)
        if kept:
            yield kept
    if held is not None:
        yield [held]


def _plain(etag: str | None) -> str:
    """Some servers quote the etag in a listing and some only in a header."""
    return (etag or "").strip('"')
