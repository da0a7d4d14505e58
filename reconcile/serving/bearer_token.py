"""Require a secret token from clients."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

from reconcile.errors import ReconcileError
from reconcile.variables import SERVE_TOKEN
from reconcile.web.tokens import check_token

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import ASGIApp, Receive, Scope, Send


_OPEN_PATHS = ("/ping",)
"""Health checks send no token. `/ping` tells the model's id and the number of counted images."""


def read_token(path: Path | None, variable: str | None) -> str | None:
    """Return the token of `--token-file`, else that of the environment variable, else None.

    No message repeats a token.

    Args:
        path: a file whose only line is the token.
        variable: the value of the environment variable, or None.

    Raises:
        ReconcileError: the file cannot be read.
        UsageError: the token is too short, or holds spaces or characters that are not ASCII.
    """
    if path is None:
        source, token = f"the variable {SERVE_TOKEN}", variable
    else:
        source = str(path)
        try:
            token = path.read_text("ascii").strip()
        except OSError as error:
            raise ReconcileError(f"the token file {path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            token = ""
    return None if token is None else check_token(token, source)


class RequireToken:
    """An application that answers 401 to requests without the token, and passes all others on.

    Args:
        app: the application behind it.
        token: the token that clients send as `Authorization: Bearer TOKEN`.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] in _OPEN_PATHS or self._is_authorized(scope):
            return await self._app(scope, receive, send)
        error = {"error": "the request needs the header Authorization: Bearer TOKEN, with the token of the server"}
        # The body is not read, so the connection cannot serve another request.
        headers = {"www-authenticate": "Bearer", "connection": "close"}
        return await JSONResponse(error, 401, headers)(scope, receive, send)

    def _is_authorized(self, scope: Scope) -> bool:
        values = [value for name, value in scope["headers"] if name == b"authorization"]
        scheme, _, token = (values[0] if len(values) == 1 else b"").partition(b" ")
        # The comparison takes the same time wherever the first wrong character is.
        return hmac.compare_digest(token.strip(), self._token) and scheme.lower() == b"bearer"
