"""Checks of locations and web addresses in settings. No message of theirs repeats what it checks."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

WEB_ADDRESS = "expected http://HOST:PORT or https://HOST"
WITH_SECRETS = (
    "holds credentials, which would appear in logs; leave them out "
    "(for S3, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
)
_EXPECTED = "expected s3://… or a path on this machine"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/{1,2}")
"""A scheme. pathlib turns two slashes into one."""
_SHORT = re.compile(r"[a-z][a-z0-9+-]{1,11}")
"""A scheme that messages repeat. An access key is longer."""
_S3_SCHEMES = ("s3", "s3a", "s3n")
"""Hadoop's names for S3 are s3a and s3n."""
_ARN = re.compile(r"arn:[a-z-]+:s3[a-z-]*:")
_BUCKET_ARN = re.compile(r"arn:[a-z-]+:s3:::(?!accesspoint)")
_USER = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/+(?!arn:)(?:[^\s/?#]*@|[^\s/@]*:[^\s@]*@)")
"""A user name or a password before the host. A secret key of AWS may contain a slash."""
_USER_WITHOUT_SCHEME = re.compile(r"[^\s/@:]+:[^\s/@]+@")
_SIGNED = re.compile(
    r"[?&;#](x-(amz|goog)-(signature|security-token|credential)|sig(nature)?|passw(or)?d|pwd|token|\w*secret\w*|"
    r"(aws)?access_?key\w*|api_?key)=",
    re.IGNORECASE,
)
"""A parameter that holds a secret, such as the signature of a presigned address."""


def is_web_address(url: str) -> bool:
    """Return whether an address has the scheme http or https, and a host."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def holds_secrets(url: str) -> bool:
    """Return whether an address has a user name, a password or a query. Presigned addresses have a query."""
    return "@" in url or "?" in url or may_hold_secret(url)


def may_hold_secret(text: str) -> bool:
    """Return whether a text looks like an address with a user name, a password or a signature."""
    return _USER.search(text) is not None or _SIGNED.search(text) is not None


def has_scheme(location: str) -> bool:
    """Return whether a location begins with a scheme, such as https:// or s3://."""
    return _SCHEME.match(location) is not None


def normalize_location(location: str) -> str:
    """Return a location with the scheme s3:// if it is on S3. A path on this machine stays as it is.

    Args:
        location: a bucket name, a path, `s3://…`, `s3a://…`, or the ARN of a bucket or an access point.

    Raises:
        ValueError: the location holds credentials, or has a scheme that is not supported. The message is the predicate
            of a sentence and does not repeat the location.
    """
    if _ARN.match(location):
        location = f"s3://{_BUCKET_ARN.sub('', location)}"
    if _USER_WITHOUT_SCHEME.match(location):
        raise ValueError(WITH_SECRETS)
    match = _SCHEME.match(location)
    if match is None:
        if may_hold_secret(location):  # such as jdbc:postgresql://user:password@host
            raise ValueError(WITH_SECRETS)
        return location
    scheme = match[1].lower()
    if scheme in ("http", "https"):
        raise ValueError(f"is a web address; {_EXPECTED}")
    if scheme not in _S3_SCHEMES:
        name = f"the scheme {scheme}://, which" if _SHORT.fullmatch(scheme) else "a scheme that"
        raise ValueError(f"has {name} reconcile does not support; {_EXPECTED}")
    path = location[match.end() :]
    bucket = path.partition("/")[0]
    if ((":" in bucket or "@" in bucket) and not _ARN.match(path)) or _SIGNED.search(path):
        raise ValueError(WITH_SECRETS)
    if not match[0].endswith("://"):
        raise ValueError("has one slash too few; expected s3://BUCKET/PREFIX")
    return f"s3://{path}"
