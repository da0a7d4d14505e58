"""S3 clients and credentials: obstore moves the bytes, boto3 finds credentials and handles unusual keys."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import botocore.exceptions
import obstore
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.exceptions import BaseError
from obstore.store import S3Store

from reconcile.errors import ReconcileError, first_line
from reconcile.storage.retry import BUDGET_SECONDS
from reconcile.storage.s3_endpoint import AwsSession, open_client, open_session, region_of, resolve

if TYPE_CHECKING:
    from obstore.store import ClientConfig

    from reconcile.storage.base import S3Access


_CONNECT_SECONDS = 5
SILENCE_SECONDS = 10
"""A request is retried after the server has sent nothing for this long."""
_WHOLE_FILE = timedelta(days=1)
"""Timeout for a whole download, such as a table of records. It may take long while bytes keep arriving."""
_SILENCE_WHILE_WRITING_SECONDS = 30
"""The same limit while a part of up to 5 MB is uploaded."""
_BOTO_OPTIONS = {"connect_timeout": _CONNECT_SECONDS, "retries": {"total_max_attempts": 1}}
_QUICK_RETRIES = 3
"""Retries of one part of a large object. After that the whole object is uploaded again."""
_CREDENTIALS_TTL = timedelta(minutes=6)
"""The lifetime that obstore assumes. obstore asks boto3 again 5 minutes before the end, which is every minute. boto3
answers from memory, and renews credentials that have 10 minutes left. So credentials are replaced before they
expire."""


class S3Connection:
    """One set of credentials and the clients that use it.

    Args:
        name: the name of the bucket, or the ARN of an access point.
        prefix: the prefix that every key of this bucket starts with, without its last slash.
        access: how to reach S3.

    Raises:
        UsageError: the endpoint is not a web address, or boto3 does not accept the name of the bucket.
        ReconcileError: there are no credentials, the profile does not exist, or its configuration cannot be used.
    """

    def __init__(self, name: str, prefix: str, access: S3Access) -> None:
        self.name, self._prefix, self._access = name, prefix, access
        self.base = prefix + "/" if prefix else ""
        """The prefix that every key of this bucket starts with."""
        session = open_session(access)
        self.region = region_of(session)
        """The region from the settings, or the one that boto3 finds."""
        self.boto = open_client(session, access, _BOTO_OPTIONS | {"read_timeout": SILENCE_SECONDS})
        """boto3's S3 client, for keys that obstore cannot express."""
        self.endpoint = resolve(session, self.boto, name, access)
        self._credentials = None if access.no_sign_request else _credentials(name, session)
        self.reading = self._store(SILENCE_SECONDS, retries=0)
        self.downloading = self._store(SILENCE_SECONDS, retries=0, whole=_WHOLE_FILE)
        self.writing = self._store(_SILENCE_WHILE_WRITING_SECONDS, retries=0)
        self.writing_in_parts = self._store(_SILENCE_WHILE_WRITING_SECONDS, retries=_QUICK_RETRIES)

    def renewed(self) -> S3Connection:
        """Return a connection with new credentials, or this connection if no credentials can be found any more."""
        try:
            return S3Connection(self.name, self._prefix, self._access)
        except ReconcileError:
            return self

    def has_objects(self, prefix: str, limit: timedelta) -> bool:
        """Return whether the bucket has an object under `prefix`. There are no retries.

        Args:
            prefix: a folder in the bucket.
            limit: how long the answer may take.

        Raises:
            Exception: an error of obstore. The bucket cannot be listed, or there was no answer in time.
        """
        store = self._store(limit.total_seconds(), retries=0, whole=limit)
        return bool(next(iter(obstore.list(store, prefix=prefix, chunk_size=1)), None))

    def _store(self, silence: float, retries: int, whole: timedelta | None = None) -> S3Store:
        url, region, _, certificates = self.endpoint
        options: ClientConfig = {
            "allow_http": url.startswith("http://"),
            "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
            "read_timeout": timedelta(seconds=silence),
            "timeout": whole or timedelta(seconds=BUDGET_SECONDS),
        }
        if certificates is not None:
            options["root_certificate"] = certificates
        try:
            return S3Store(
                self.name,
                # The settings that obstore would otherwise take from the environment, in another order than boto3.
                config={
                    "aws_endpoint_url_s3": url,
                    "virtual_hosted_style_request": True,  # the address contains the bucket
                    "s3_express": False,
                    "conditional_put": "etag",
                },
                prefix=self._prefix or None,
                region=region,
                skip_signature=self._access.no_sign_request,
                credential_provider=self._credentials,
                client_options=options,
                retry_config={"max_retries": retries, "retry_timeout": timedelta(seconds=BUDGET_SECONDS)},
            )
        except (ValueError, BaseError) as error:
            raise ReconcileError(f"{_explain_store(certificates)}: {first_line(error)}") from None


def _explain_store(certificates: bytes | None) -> str:
    if certificates is None:
        return "the connection to S3 cannot be set up"
    return "the CA bundle (AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE or ca_bundle) cannot be used"


def _credentials(name: str, session: AwsSession) -> Boto3CredentialProvider:
    try:
        return Boto3CredentialProvider(session, ttl=_CREDENTIALS_TTL)
    except (ValueError, botocore.exceptions.BotoCoreError) as error:
        hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, use --profile, or --no-sign-request"
        hint += f" (to use the folder of that name, write ./{name})" if Path(name).is_dir() else ""
        detail = "" if isinstance(error, ValueError) else f" ({error})"
        raise ReconcileError(f"no AWS credentials found for s3://{name}{detail}; {hint}") from None
