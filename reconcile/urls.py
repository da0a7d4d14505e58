"""Web addresses that settings may hold."""

from __future__ import annotations

from urllib.parse import urlsplit

WITH_SECRETS = "holds credentials, which would show in logs; set AWS_ACCESS_KEY_ID and the like"


WEB_ADDRESS = "expected http://HOST:PORT or https://HOST"


def is_web_address(url: str) -> bool:
    """Whether it can be asked for anything."""
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def holds_secrets(url: str) -> bool:
    """Whether an address has a user's name, a password, or a query, such as the signature of a presigned one."""
    parts = urlsplit(url)
    return bool(parts.username or parts.password or parts.query)
