"""What the errors of obstore and boto3 say of a request to S3."""

from __future__ import annotations

import re

import botocore.exceptions
from obstore.exceptions import BaseError

from reconcile.storage.retry import FaultKind, RetriesExhausted

# Everything obstore raises for a request that failed; a missing object is Python's own FileNotFoundError.
STORE_ERRORS = (BaseError, OSError)
REQUEST_ERRORS = (
    RetriesExhausted,
    *STORE_ERRORS,
    botocore.exceptions.BotoCoreError,
    botocore.exceptions.ClientError,
)
"""All that a request may end in; `ValueError` comes beside them, for a key that obstore has no word for."""

_CREDENTIALS = ("ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId", "SignatureDoesNotMatch")
_BUSY = ("SlowDown", "Throttl", "TooManyRequests")
_UNREACHABLE = (botocore.exceptions.EndpointConnectionError, botocore.exceptions.ConnectTimeoutError)
_TIMEOUT, _TOO_MANY, _NOT_IMPLEMENTED, _UNAVAILABLE = 408, 429, 501, 503


def classify_error(error: Exception) -> FaultKind:
    """Whether it is worth asking again."""
    text = str(error)
    if not isinstance(error, REQUEST_ERRORS) or "invalid path" in text:
        return FaultKind.PERMANENT
    status = _status(error, text)
    if any(code in text for code in _CREDENTIALS):
        return FaultKind.CREDENTIALS
    if status in (_TOO_MANY, _UNAVAILABLE) or any(code in text for code in _BUSY):
        return FaultKind.THROTTLED
    if "NoSuchUpload" in text:  # an upload in parts that was completed or aborted behind our back: put it again
        return FaultKind.TRANSIENT
    if isinstance(error, FileNotFoundError):
        return FaultKind.PERMANENT
    if "redirect without LOCATION" in text or status == _NOT_IMPLEMENTED:
        return FaultKind.PERMANENT
    if status is not None and 300 <= status < 500 and status != _TIMEOUT and "RequestTimeout" not in text:
        return FaultKind.PERMANENT
    if isinstance(error, _UNREACHABLE) or "error sending request" in text:
        return FaultKind.UNREACHABLE
    return FaultKind.TRANSIENT


def _status(error: Exception, text: str) -> int | None:
    """The HTTP status that it came with."""
    if isinstance(error, botocore.exceptions.ClientError):
        status: int | None = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return status
    found = re.search(r"status code: (\d{3})", text)
    return int(found[1]) if found else None
