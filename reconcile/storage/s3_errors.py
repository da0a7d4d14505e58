"""Classify S3 errors for retries."""

from __future__ import annotations

import re

import botocore.exceptions
from obstore.exceptions import BaseError

from reconcile.storage.retry import FaultKind, RetriesExhausted

# Everything that obstore raises for a failed request. A missing object is Python's own FileNotFoundError.
STORE_ERRORS = (BaseError, OSError)
REQUEST_ERRORS = (
    RetriesExhausted,
    *STORE_ERRORS,
    botocore.exceptions.BotoCoreError,
    botocore.exceptions.ClientError,
)
"""All errors of a failed request. obstore also raises `ValueError` for a key that it cannot express."""

_CREDENTIALS = ("ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId", "SignatureDoesNotMatch")
_THROTTLED = ("SlowDown", "Throttl", "TooManyRequests")
_UNREACHABLE = (botocore.exceptions.EndpointConnectionError, botocore.exceptions.ConnectTimeoutError)
_TIMEOUT, _TOO_MANY, _NOT_IMPLEMENTED, _UNAVAILABLE = 408, 429, 501, 503


def classify_error(error: Exception) -> FaultKind:
    """Return the kind of a failure, which decides whether a retry may help."""
    text = str(error)
    if not isinstance(error, REQUEST_ERRORS) or "invalid path" in text:
        return FaultKind.PERMANENT
    status = http_status(error)
    if any(code in text for code in _CREDENTIALS):
        return FaultKind.CREDENTIALS
    if status in (_TOO_MANY, _UNAVAILABLE) or any(code in text for code in _THROTTLED):
        return FaultKind.THROTTLED
    if "NoSuchUpload" in text:  # somebody else completed or aborted the multipart upload: upload again
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


def http_status(error: Exception) -> int | None:
    """Return the HTTP status of an error, or None."""
    if isinstance(error, botocore.exceptions.ClientError):
        status: int | None = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return status
    match = re.search(r"status code: (\d{3})", str(error))
    return int(match[1]) if match else None
