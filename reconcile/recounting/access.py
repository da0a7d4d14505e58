"""Let in whoever has the token, and nobody else.

The token comes in the address that the QR code holds, or in a header. The page that the address opens sets a cookie,
and the phone forgets the token. The cookie is a message authentication code (HMAC-SHA256) of the token, with a secret
key of this server. So nobody can guess a cookie, and wrong guesses of the token can be limited without locking out the
phones that are in already.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


GUESSES = 10
"""Wrong tokens that one address may send before it has to wait."""
GUESS_SECONDS = 30.0
"""The seconds after which an address may send one more."""
_MOST_ADDRESSES = 10_000
_SHORTEST_SECRET = 16
_COOKIE_SECONDS = 7 * 24 * 3600
_LOCKED_OUT = "Open the address that `reconcile recount` printed, or scan its QR code.\n"
_SLOW_DOWN = "Too many wrong tokens came from this address. Wait a few minutes.\n"


@dataclass(frozen=True)
class Secrets:
    """The token that people use, and the key of this server for cookies."""

    token: str
    key: str

    @property
    def cookie(self) -> str:
        """Return the value of the cookie."""
        return hmac.new(self.key.encode(), self.token.encode(), hashlib.sha256).hexdigest()


def load_secrets(path: Path, token: str | None) -> Secrets:
    """Return the secrets of an earlier start, so that phones stay in after a restart, or new ones.

    Args:
        path: the file of the secrets. If it cannot be used, the secrets end with this process.
        token: the token that the lead chose; None for that of the file, or a random one.
    """
    kept: dict[str, str] = {}
    with suppress(OSError, ValueError, AttributeError):
        read = json.loads(path.read_bytes())
        kept = {name: text for name, text in read.items() if isinstance(text, str) and len(text) >= _SHORTEST_SECRET}
    chosen = Secrets(token or kept.get("token") or secrets.token_urlsafe(16), kept.get("key") or secrets.token_hex(32))
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = path.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        partial.touch(mode=0o600)
        partial.write_text(json.dumps({"token": chosen.token, "key": chosen.key}))
        partial.replace(path)
    return chosen


class Guesses:
    """Counts wrong tokens by address. Each address may send `GUESSES`, and one more every `GUESS_SECONDS`."""

    def __init__(self) -> None:
        self._wrong: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def is_limited(self, address: str) -> bool:
        """Return whether an address has to wait."""
        return self._count(address) >= GUESSES

    def add(self, address: str) -> None:
        """Count one wrong token."""
        self._wrong[address] = self._count(address) + 1, time.monotonic()
        self._wrong.move_to_end(address)
        if len(self._wrong) > _MOST_ADDRESSES:
            self._wrong.popitem(last=False)

    def _count(self, address: str) -> float:
        wrong, at = self._wrong.get(address, (0.0, 0.0))
        return max(0.0, wrong - (time.monotonic() - at) / GUESS_SECONDS)


class RequireAccess:
    """An application that answers requests without access by itself, and passes all others on.

    Args:
        app: the application behind it.
        secret: the token, and the key for cookies.
        cookie_name: the name of the cookie. Servers on other ports of this machine need other names.
        is_secure: whether the server encrypts, so that the cookie never travels in the clear.
    """

    def __init__(self, app: ASGIApp, secret: Secrets, cookie_name: str, *, is_secure: bool) -> None:
        self._app, self._secret, self._name, self._is_secure = app, secret, cookie_name, is_secure
        self._guesses = Guesses()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers = dict(scope["headers"])
        if self._has_cookie(headers.get(b"cookie", b"")):
            return await self._app(scope, receive, send)
        token = _token_of(scope, headers)
        if token is None:
            return await _refusal(HTTPStatus.UNAUTHORIZED, _LOCKED_OUT)(scope, receive, send)
        address = _network_of(scope["client"][0] if scope.get("client") else "")
        if self._guesses.is_limited(address):
            return await _refusal(HTTPStatus.TOO_MANY_REQUESTS, _SLOW_DOWN)(scope, receive, send)
        # The comparison takes the same time wherever the first wrong character is.
        if not hmac.compare_digest(token, self._secret.token.encode()):
            self._guesses.add(address)
            return await _refusal(HTTPStatus.UNAUTHORIZED, _LOCKED_OUT)(scope, receive, send)

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), (b"set-cookie", self._set_cookie().encode())]
            await send(message)

        return await self._app(scope, receive, send_with_cookie)

    def _has_cookie(self, header: bytes) -> bool:
        cookies: SimpleCookie = SimpleCookie()
        with suppress(CookieError):
            cookies.load(header.decode("latin-1"))
        value = cookies[self._name].value if self._name in cookies else ""
        return hmac.compare_digest(value.encode("latin-1", "replace"), self._secret.cookie.encode())

    def _set_cookie(self) -> str:
        secure = "; Secure" if self._is_secure else ""
        value = f"{self._name}={self._secret.cookie}"
        return f"{value}; Max-Age={_COOKIE_SECONDS}; Path=/; HttpOnly; SameSite=Strict{secure}"


def _token_of(scope: Scope, headers: dict[bytes, bytes]) -> bytes | None:
    """Return the token of the header or of the address, or None."""
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer":
        return token.strip()
    query = dict(parse_qsl(scope["query_string"].decode("latin-1"), max_num_fields=10)) if scope["query_string"] else {}
    return query["token"].encode() if "token" in query else None


def _network_of(address: str) -> str:
    """Return the address, or the network of 64 bits for IPv6, because one machine has all addresses of it."""
    with suppress(ValueError):
        parsed = ip_address(address)
        if parsed.version == 6:
            return parsed.exploded[:19]
    return address


def _refusal(status: HTTPStatus, text: str) -> Response:
    # The body of the request is not read, so the connection cannot serve another request.
    headers = {"connection": "close", "cache-control": "no-store", "x-content-type-options": "nosniff"}
    if status is HTTPStatus.TOO_MANY_REQUESTS:
        headers["retry-after"] = str(round(GUESS_SECONDS))
    return PlainTextResponse(text, status, headers)
