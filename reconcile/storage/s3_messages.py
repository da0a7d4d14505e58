"""Explain failed requests to S3 in one sentence: what failed, on which bucket, and what to do."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import botocore.exceptions
from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

from reconcile.storage.retry import RetriesExhausted
from reconcile.storage.s3_errors import http_status

if TYPE_CHECKING:
    from reconcile.storage.base import S3Access


_LONGEST = 500
"""Characters of a sentence of S3 that are repeated. The one for a denied kms:Decrypt has about 300."""
_MEANINGS = {
    "InvalidAccessKeyId": "the server does not know the access key",
    "SignatureDoesNotMatch": "the secret key does not match the access key",
    "ExpiredToken": "the credentials have expired",
    "RequestTimeTooSkewed": "this machine's clock is wrong",
    "PermanentRedirect": "the bucket is in another region; set --region",
    "AuthorizationHeaderMalformed": "the bucket is in another region; set --region",
    "InvalidToken": "the session token is not accepted",
    "SlowDown": "S3 kept asking to slow down",
    "InternalError": "S3 had an internal error",
}
_ARCHIVED, _ACCESS_DENIED = "InvalidObjectState", "AccessDenied"
_BAD_REQUEST, _DENIED = 400, (401, 403)
_NOT_REACHED = {
    "dns error": " (there is no host of that name)",
    "ConnectionRefused": " (no server listens there)",
    "InvalidCertificate": " (this machine does not trust the server's certificate)",
    "InvalidMessage": " (the server there does not speak https)",
}
"""Phrases of obstore's error messages and what they mean."""


class Answer(NamedTuple):
    """What S3 said about a failed request."""

    code: str
    """Such as AccessDenied. Empty if the answer has none, as an answer to a HEAD request."""
    sentence: str

    def __str__(self) -> str:
        return f"{self.code}: {self.sentence}" if self.sentence else self.code


def answer_of(error: Exception) -> Answer:
    """Return S3's own code and sentence for a failed request. The rest of its answer may repeat the session token."""
    if isinstance(error, botocore.exceptions.ClientError):
        details = error.response.get("Error", {})
        code, sentence = str(details.get("Code", "")), str(details.get("Message", ""))
    else:
        code, sentence = (_element(name, str(error)) for name in ("Code", "Message"))
    return Answer("" if code.isdecimal() else code, " ".join(html.unescape(sentence).split())[:_LONGEST])


def _element(name: str, text: str) -> str:
    match = re.search(f"<{name}>([^<]*)</{name}>", text)
    return match[1] if match else ""


def explain(error: Exception | None, verb: str, location: str, access: S3Access, *, has_answered: bool) -> str:
    """Return why a request failed, as one sentence.

    Args:
        error: what obstore or boto3 raised, perhaps after retries.
        verb: what could not be done, such as "read".
        location: the bucket, as a person named it.
        access: how S3 was reached.
        has_answered: whether S3 has answered any request.
    """
    if isinstance(error, RetriesExhausted):
        return f"{explain(error.error, verb, location, access, has_answered=has_answered)}; {error.effort}"
    address = location + (f" at {access.endpoint_url}" if access.endpoint_url else "")
    if "NoSuchBucket" in str(error):
        name = location.removeprefix("s3://").partition("/")[0]
        hint = f" (to use the folder of that name, write ./{name})" if Path(name).is_dir() else ""
        return f"there is no bucket {address}{hint}"
    return f"cannot {verb} {address}: {_reason(error, access, has_answered=has_answered)}"


def _reason(error: Exception | None, access: S3Access, *, has_answered: bool) -> str:
    text, answer = str(error), Answer("", "") if error is None else answer_of(error)
    if answer.code == _ARCHIVED:
        return f"the object is archived; restore it first ({answer})"
    for code, meaning in _MEANINGS.items():
        if code == answer.code or (not answer.code and code in text):
            return f"{meaning} ({code})"
    status = None if error is None else http_status(error)
    denied = status in _DENIED or isinstance(error, PermissionDeniedError | UnauthenticatedError)
    if access.no_sign_request and (status == _BAD_REQUEST or denied):
        return "S3 refuses unsigned requests; drop --no-sign-request and set credentials"
    if denied or answer.code == _ACCESS_DENIED:
        said = f" ({answer})" if answer.code else ""
        # Another code, or a sentence that names the missing permission, such as kms:Decrypt, is advice enough.
        is_vague = answer.code in ("", _ACCESS_DENIED) and "not authorized to perform" not in answer.sentence
        return f"access denied{said}; check the credentials' permissions{' or --no-sign-request' if is_vague else ''}"
    if "body error" in text:
        return "the connection broke or stalled in the middle of an answer"
    if "error sending request" in text or "HTTP error" in text:
        why = next((meaning for sign, meaning in _NOT_REACHED.items() if sign in text), "")
        if has_answered:
            return f"no answer this time{why}; check that S3 and the network are up"
        return f"no answer{why}; check --endpoint-url, --region and the network"
    if isinstance(error, botocore.exceptions.ClientError):
        return str(answer)[:_LONGEST]
    start = text.partition("<")[0].partition("\n")[0].strip()
    return " ".join(part for part in (start, answer.code, answer.sentence) if part)[:_LONGEST]
