"""Checks of web addresses in settings."""

from __future__ import annotations

from urllib.parse import urlsplit

WEB_ADDRESS = "expected http://HOST:PORT or https://HOST"
WITH_SECRETS = "holds credentials, which would appear in logs; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead"


def is_web_address(url: str) -> bool:
    """Return whether an address has the scheme http or https, and a host."""
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def holds_secrets(url: str) -> bool:
    """Return whether an address has a user name, a password or a query. Presigned addresses have a query."""
    parts = urlsplit(url)
    return bool(parts.username or parts.password or parts.query)
