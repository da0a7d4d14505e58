"""Tests of the token that clients send."""

import json

import pytest
from starlette.responses import JSONResponse

from reconcile.errors import ReconcileError, UsageError
from reconcile.serving.bearer_token import RequireToken, read_token
from tests.unit.serving.helpers import run

TOKEN = "tok-0123456789abcdef"


async def request(*authorization, path="/invocations"):
    """Return status, headers and JSON of the answer to a request with these headers."""
    sent = []

    async def send(message):
        sent.append(message)

    headers = [(b"authorization", value) for value in authorization]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
    await RequireToken(JSONResponse({"answered": True}), TOKEN)(scope, None, send)
    return sent[0]["status"], dict(sent[0]["headers"]), json.loads(sent[1]["body"])


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_request_with_the_token_is_answered(scheme):
    assert run(request(f"{scheme} {TOKEN}".encode()))[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [b""],
        [b"Bearer"],
        [b"Bearer "],
        [f"Basic {TOKEN}".encode()],
        [TOKEN.encode()],
        [f"Bearer {TOKEN}x".encode()],
        [f"Bearer {TOKEN[:-1]}".encode()],
        [b"Bearer \xff\xfe"],
        [f"Bearer {TOKEN}".encode()] * 2,
    ],
)
def test_request_without_the_token_gets_401(headers):
    status, answer_headers, answer = run(request(*headers))
    assert status == 401
    assert answer_headers[b"www-authenticate"] == b"Bearer"
    assert TOKEN not in answer["error"]


def test_health_check_needs_no_token():
    assert run(request(path="/ping"))[0] == 200


def test_token_file_comes_before_the_variable(tmp_path):
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    assert read_token(tmp_path / "token", "another-token-of-some-length") == TOKEN
    assert read_token(None, TOKEN) == TOKEN
    assert read_token(None, None) is None


@pytest.mark.parametrize("token", ["", "short", f"{TOKEN} {TOKEN}", f"{TOKEN}\n{TOKEN}", f"ü{TOKEN}"])
def test_unsafe_token_is_refused_without_repeating_it(tmp_path, token):
    path = tmp_path / "token"
    path.write_text(token)
    with pytest.raises(UsageError, match=r"must hold one token: at least 16 ASCII characters without spaces") as raised:
        read_token(path, None)
    assert not token or token not in str(raised.value)
    with pytest.raises(UsageError, match="the variable RECONCILE_SERVE_TOKEN must hold one token"):
        read_token(None, token)


def test_missing_token_file_is_an_error(tmp_path):
    with pytest.raises(ReconcileError, match="gone cannot be read: No such file or directory"):
        read_token(tmp_path / "gone", TOKEN)
