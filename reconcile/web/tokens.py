"""The form of secret tokens."""

from __future__ import annotations

from reconcile.errors import UsageError

_MIN_LENGTH = 16


def check_token(token: str, source: str) -> str:
    """Return a token of valid form. No message repeats a token.

    Args:
        token: the token.
        source: where the token comes from, for the message.

    Raises:
        UsageError: the token is too short, or holds spaces or characters that are not ASCII.
    """
    if len(token) < _MIN_LENGTH or not all("!" <= character <= "~" for character in token):
        raise UsageError(f"{source} must hold one token: at least {_MIN_LENGTH} ASCII characters without spaces")
    return token
