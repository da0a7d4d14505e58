"""The address, region and certificates of a bucket, as boto3 finds them. obstore gets the same.

boto3 knows the precedence of endpoints (option, AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the profile and its `services`
section), the partitions of AWS, FIPS and dual-stack endpoints, buckets with dots in their names and access points.
obstore reads some of these variables itself, in another order.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import boto3
import botocore
import botocore.exceptions
import botocore.session

from reconcile.errors import ReconcileError, UsageError
from reconcile.storage.base import S3Access

if TYPE_CHECKING:
    from collections.abc import Mapping


_KEY = "key"
_DEFAULT_REGION = "us-east-1"
_INVALID_ENDPOINT = "Invalid endpoint: "
"""The start of botocore's message."""
_shared_loader: Any = None
"""botocore's loader of service descriptions. Sessions share it, because it keeps what it has parsed."""


class S3Endpoint(NamedTuple):
    """How to reach one bucket."""

    url: str
    """The address of the bucket, to which a slash and a key are added."""
    region: str
    """The region that requests are signed for. That of an access point is in its ARN."""
    configured_url: str | None
    """The address of the server if a setting names one, or None for Amazon S3."""
    certificates: bytes | None
    """Certificate authorities to trust, in PEM. None for those of the system."""


class AwsSession(boto3.Session):  # type: ignore[misc] # boto3 has no types
    """A boto3 session that gives access to the values of its configuration.

    Args:
        core: the session of botocore below it, which has those values.
        profile: the profile, or None for the default.
        region: the region, or None for that of the configuration.
    """

    def __init__(self, core: botocore.session.Session, profile: str | None, region: str | None) -> None:
        super().__init__(profile_name=profile, region_name=region, botocore_session=core)
        self.core = core


def open_session(access: S3Access) -> AwsSession:
    """Open a boto3 session, which finds credentials and region.

    Raises:
        ReconcileError: the profile does not exist, or a file of the AWS configuration cannot be read.
    """
    global _shared_loader
    region = access.region or os.environ.get("AWS_REGION")  # the AWS CLI reads this variable, boto3 does not
    core = botocore.session.Session()
    if _shared_loader is not None:
        core.register_component("data_loader", _shared_loader)
    try:
        session = AwsSession(core, access.profile, region)
        core.get_scoped_config()  # raises if the profile does not exist
        _shared_loader = core.get_component("data_loader")
    except botocore.exceptions.BotoCoreError as error:
        raise ReconcileError(f"AWS profile: {error}") from None
    return session


def region_of(session: AwsSession) -> str:
    """Return the region from the settings, or the one that boto3 finds."""
    return str(session.region_name or _DEFAULT_REGION)


def open_client(session: AwsSession, access: S3Access, options: Mapping[str, Any]) -> Any:
    """Open boto3's S3 client.

    Args:
        session: from `open_session`.
        access: how to reach S3.
        options: options of `botocore.config.Config`.

    Raises:
        UsageError: the endpoint is not a web address, or it holds a secret. A variable or the profile may name it.
        ReconcileError: the AWS configuration has a value that boto3 refuses.
    """
    unsigned = {"signature_version": botocore.UNSIGNED} if access.no_sign_request else {}
    config = botocore.config.Config(**options, **unsigned)
    try:
        client = session.client("s3", endpoint_url=access.endpoint_url, region_name=region_of(session), config=config)
    except ValueError as error:
        _refuse_endpoint(error)
    except botocore.exceptions.BotoCoreError as error:
        raise ReconcileError(f"AWS configuration: {error}") from None
    S3Access(client.meta.endpoint_url)  # checks it
    return client


def resolve(session: AwsSession, client: Any, name: str, access: S3Access) -> S3Endpoint:
    """Return how boto3 would reach a bucket. No request is sent.

    Args:
        session: from `open_session`.
        client: from `open_client`.
        name: the name of the bucket, or the ARN of an access point.
        access: how to reach S3.

    Raises:
        UsageError: boto3 does not accept the name with these settings, such as an access point in another partition.
        ReconcileError: the certificates cannot be read.
    """
    url, region = _bucket_address(client, name)
    configured = access.endpoint_url or _configured_url(session, client)
    return S3Endpoint(url, region or region_of(session), configured, _certificates(session))


def _bucket_address(client: Any, name: str) -> tuple[str, str | None]:
    """Return the address of a bucket, and the region that requests to it are signed for, if they are signed."""
    taken: dict[str, Any] = {}

    def take(params: dict[str, Any], context: dict[str, Any], **_: Any) -> NoReturn:
        taken.update(url=params["url"], region=context.get("signing", {}).get("region"))
        raise _NotSentError

    event, handler_id = "before-call.s3.HeadObject", "reconcile-address"
    client.meta.events.register(event, take, unique_id=handler_id)
    try:
        client.head_object(Bucket=name, Key=_KEY)
    except _NotSentError:
        pass
    except botocore.exceptions.BotoCoreError as error:
        raise UsageError(f"s3://{name}: {error}") from None
    finally:
        client.meta.events.unregister(event, unique_id=handler_id)
    return str(taken["url"]).removesuffix(f"/{_KEY}"), taken["region"]


class _NotSentError(Exception):
    """Keeps boto3 from sending a request."""


def _configured_url(session: AwsSession, client: Any) -> str | None:
    """Return the endpoint that a variable or the profile sets, or None."""
    config = botocore.config.Config(ignore_configured_endpoint_urls=True)
    default = session.client("s3", region_name=region_of(session), config=config).meta.endpoint_url
    return None if client.meta.endpoint_url == default else str(client.meta.endpoint_url)


def _certificates(session: AwsSession) -> bytes | None:
    """Return the bundle that boto3 would trust: AWS_CA_BUNDLE, the profile's ca_bundle, or REQUESTS_CA_BUNDLE."""
    path = session.core.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ReconcileError(
            f"the CA bundle {path} cannot be read: {error.strerror} (AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE or ca_bundle)"
        ) from None


def _refuse_endpoint(error: ValueError) -> NoReturn:
    endpoint = str(error)
    if endpoint.startswith(_INVALID_ENDPOINT):
        S3Access(endpoint.removeprefix(_INVALID_ENDPOINT))  # raises UsageError, and repeats no secret
    raise UsageError("the S3 endpoint is not a valid address") from None
