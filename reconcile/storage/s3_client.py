"""S3 clients and credentials: obstore moves the bytes, boto3 finds credentials and handles unusual keys."""

from __future__ import annotations

import os
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import botocore
import botocore.exceptions
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.store import S3Store

from reconcile.errors import ReconcileError
from reconcile.storage.retry import BUDGET_SECONDS

if TYPE_CHECKING:
    from reconcile.storage.base import S3Access


_CONNECT_SECONDS = 5
SILENCE_SECONDS = 10
"""A request is retried after the server has sent nothing for this long."""
_WHOLE_FILE = timedelta(days=1)
"""Timeout for a whole download, such as a table of records. It may take long while bytes keep arriving."""
_SILENCE_WHILE_WRITING_SECONDS = 30
"""The same limit while a part of up to 5 MB is uploaded."""
_QUICK_RETRIES = 3
"""Retries of one part of a large object. After that the whole object is uploaded again."""
_CREDENTIALS_TTL = timedelta(minutes=6)
"""The lifetime that obstore assumes. obstore asks boto3 again 5 minutes before the end, which is every minute. boto3
answers from memory, and renews credentials that have 10 minutes left. So no credentials are used until they expire."""


class S3Connection:
    """One set of credentials and the clients that use it."""

    def __init__(self, name: str, prefix: str, access: S3Access) -> None:
        self.name, self._prefix, self._access = name, prefix, access
        self.base = prefix + "/" if prefix else ""
        """The prefix that every key of this bucket starts with."""
        self._session = open_session(access)
        self._credentials = None if access.no_sign_request else _credentials(name, self._session)
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

    @cached_property
    def boto(self) -> Any:
        """Return boto3's S3 client."""
        unsigned = {"signature_version": botocore.UNSIGNED} if self._access.no_sign_request else {}
        config = botocore.config.Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=SILENCE_SECONDS,
            retries={"total_max_attempts": 1},
            **unsigned,
        )
        return self._session.client(
            "s3", endpoint_url=self._access.endpoint_url, region_name=self.region, config=config
        )

    @property
    def region(self) -> str:
        """Return the region from the settings, or the one that boto3 finds."""
        return self._session.region_name or "us-east-1"

    def _store(self, silence: float, retries: int, whole: timedelta | None = None) -> S3Store:
        endpoint = self._access.endpoint_url
        # obstore does not accept None as an endpoint.
        return S3Store(
            self.name,
            config=None if endpoint is None else {"endpoint": endpoint},
            prefix=self._prefix or None,
            region=self.region,
            skip_signature=self._access.no_sign_request,
            # Other S3 servers rarely give each bucket its own host name.
            virtual_hosted_style_request=endpoint is None,
            credential_provider=self._credentials,
            client_options={
                "allow_http": bool(endpoint and endpoint.startswith("http://")),
                "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
                "read_timeout": timedelta(seconds=silence),
                "timeout": whole or timedelta(seconds=BUDGET_SECONDS),
            },
            retry_config={"max_retries": retries, "retry_timeout": timedelta(seconds=BUDGET_SECONDS)},
        )


def open_session(access: S3Access) -> Any:
    """Open a boto3 session, which finds credentials and region.

    Raises:
        ReconcileError: the profile does not exist.
    """
    region = access.region or os.environ.get("AWS_REGION")  # the AWS CLI reads this variable, boto3 does not
    try:
        return boto3.Session(profile_name=access.profile, region_name=region)
    except botocore.exceptions.BotoCoreError as error:
        raise ReconcileError(f"AWS profile: {error}") from None


def _credentials(name: str, session: Any) -> Boto3CredentialProvider:
    try:
        return Boto3CredentialProvider(session, ttl=_CREDENTIALS_TTL)
    except (ValueError, botocore.exceptions.BotoCoreError) as error:
        hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, use --profile, or --no-sign-request"
        hint += f" (to use the folder of that name, write ./{name})" if Path(name).is_dir() else ""
        detail = "" if isinstance(error, ValueError) else f" ({error})"
        raise ReconcileError(f"no AWS credentials found for s3://{name}{detail}; {hint}") from None
