"""The clients of one bucket: obstore's, which move the bytes, and boto3's, which finds credentials and odd keys."""

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
"""After which a server that sends nothing is given up and asked again."""
_WHOLE_FILE = timedelta(days=1)
"""For a table of records, say: as long as something comes, it may take its time."""
_SILENCE_WHILE_WRITING_SECONDS = 30
"""The same while a part of up to 5 MB goes there."""
_QUICK_RETRIES = 3
"""Of one part of a large object; then the whole object is put again."""
_CREDENTIALS_TTL = timedelta(minutes=6)
"""obstore asks for credentials again 5 minutes before this, so every minute. boto3, which answers from memory, renews
those that have 10 minutes left, so that none is used to its end."""


class S3Connection:
    """One set of credentials, and the clients that use it."""

    def __init__(self, name: str, prefix: str, access: S3Access) -> None:
        self.name, self._prefix, self._access = name, prefix, access
        self.base = prefix + "/" if prefix else ""
        """What a key of the bucket begins with."""
        self._session = open_session(access)
        self._credentials = None if access.no_sign_request else _credentials(name, self._session)
        self.reading = self._store(SILENCE_SECONDS, retries=0)
        self.bringing = self._store(SILENCE_SECONDS, retries=0, whole=_WHOLE_FILE)
        self.writing = self._store(_SILENCE_WHILE_WRITING_SECONDS, retries=0)
        self.writing_in_parts = self._store(_SILENCE_WHILE_WRITING_SECONDS, retries=_QUICK_RETRIES)

    def renewed(self) -> S3Connection:
        """The same with credentials as they are now; itself where none are found any more."""
        try:
            return S3Connection(self.name, self._prefix, self._access)
        except ReconcileError:
            return self

    @cached_property
    def boto(self) -> Any:
        """boto3's S3 client."""
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
        """The one that was named, or what boto3 finds."""
        return self._session.region_name or "us-east-1"

    def _store(self, silence: float, retries: int, whole: timedelta | None = None) -> S3Store:
        endpoint = self._access.endpoint_url
        # obstore takes no None for an endpoint.
        return S3Store(
            self.name,
            config=None if endpoint is None else {"endpoint": endpoint},
            prefix=self._prefix or None,
            region=self.region,
            skip_signature=self._access.no_sign_request,
            # Buckets of other S3 servers rarely have host names of their own.
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
    """boto3's session, which finds credentials and region.

    Raises:
        ReconcileError: there is no such profile.
    """
    region = access.region or os.environ.get("AWS_REGION")  # which the AWS CLI heeds, and boto3 does not
    try:
        return boto3.Session(profile_name=access.profile, region_name=region)
    except botocore.exceptions.BotoCoreError as error:
        raise ReconcileError(f"AWS profile: {error}") from None


def _credentials(name: str, session: Any) -> Boto3CredentialProvider:
    try:
        return Boto3CredentialProvider(session, ttl=_CREDENTIALS_TTL)
    except (ValueError, botocore.exceptions.BotoCoreError) as error:
        hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, use --profile, or --no-sign-request"
        hint += f" (for the folder of that name say ./{name})" if Path(name).is_dir() else ""
        detail = "" if isinstance(error, ValueError) else f" ({error})"
        raise ReconcileError(f"no AWS credentials found for s3://{name}{detail}; {hint}") from None
