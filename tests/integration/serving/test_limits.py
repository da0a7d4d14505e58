"""Tests of what strangers may send to `reconcile serve`: headers, connections, other buckets, and no token."""

import json
import socket
import sys
import time

import pytest

from reconcile.cli import serve as serve_command
from reconcile.storage.base import S3Access
from reconcile.storage.open import open_bucket
from tests.conftest import grey_photo
from tests.serving_process import Server

TOKEN = "tok-0123456789abcdef"
SHORT_LIMITS = (
    "from reconcile.web import connections as c; c.HEADER_SECONDS = 1; c._MAX_CONNECTIONS = 20; "
    "c._STALLED_SECONDS = 1; from reconcile.cli import main; main()"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a secret, and in it the bucket of the server."""
    folder = tmp_path_factory.mktemp("limits")
    (folder / "photos").mkdir()
    (folder / "photos/a.jpg").write_bytes(grey_photo(4))
    (folder / "secret.txt").write_text("secret")
    return folder


@pytest.fixture(scope="module")
def server(folder, grey_model):
    """Return the real server, except that it waits one second for headers and accepts 20 connections."""
    running = Server(
        folder, "--model", grey_model, "--bucket", "./photos/", command=(sys.executable, "-c", SHORT_LIMITS)
    )
    yield running.wait_until_ready()
    assert running.stop() == 0, running.log.read_text()


def answer_to(server, *pieces):
    """Send bytes, and return the status line and the body of the answer; empty if the server closes the connection."""
    received = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
            while piece := connection.recv(65_536):
                received += piece
        except ConnectionError:  # the server closes before it has read everything
            pass
    head, _, body = received.partition(b"\r\n\r\n")
    return head.split(b"\r\n")[0].decode(), body.decode()


PING = b"GET /ping HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"


@pytest.mark.parametrize(
    "headers",
    [
        [b"a: " + b"x" * 66_000 + b"\r\n\r\n"],
        [b"a%d: x\r\n" % number for number in range(20_000)],
        [b"a: ", *[b"x" * 65_536] * 4],
    ],
)
def test_headers_above_64_kb_are_refused(server, headers):
    status, body = answer_to(server, PING, *headers)
    assert status in ("HTTP/1.1 431 Request Header Fields Too Large", "")  # a reset may overtake the answer
    assert body in ('{"error": "the headers are over the limit of 64 kB"}', "")
    assert answer_to(server, PING + b"a: " + b"x" * 60_000 + b"\r\n\r\n")[0] == "HTTP/1.1 200 OK"


def test_endless_trailers_are_refused(server):
    start = b"POST /invocations HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
    assert answer_to(server, start, *[b"a: " + b"x" * 1000 + b"\r\n"] * 1000)[0] in ("", "HTTP/1.1 400 Bad Request")
    assert server.request("GET", "/ping").status == 200


@pytest.mark.parametrize("sent", [b"", b"GET /ping HTTP/1.1\r\nhost: x\r\n", PING + b"\r\n" + b"GET"])
def test_headers_that_do_not_come_end_the_connection(server, sent):
    started = time.monotonic()
    status, _ = answer_to(server, sent)
    assert time.monotonic() - started < 20
    assert status in ("", "HTTP/1.1 408 Request Timeout", "HTTP/1.1 200 OK")


def test_blank_lines_do_not_keep_a_connection_open(server):
    status, _ = answer_to(server, *(b"\r\n" for _ in range(100) if time.sleep(0.1) is None))
    assert status in ("", "HTTP/1.1 408 Request Timeout")


def test_half_open_connections_make_room_for_requests(server):
    connections = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(60)]
    assert server.count(grey_photo(2)).json["predicted_count"] == 2
    for connection in connections:
        connection.close()


def test_stalled_bodies_make_room_for_requests(server):
    head = b"POST /invocations HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\n"
    connections = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
    for connection in connections:
        connection.sendall(head)
    ends = time.monotonic() + 20  # less than the 30 s after which the server gives up each body
    while answer_to(server, PING + b"\r\n")[0] != "HTTP/1.1 200 OK":
        assert time.monotonic() < ends
    for connection in connections:
        connection.close()


def test_other_buckets_are_forbidden(server, folder):
    for bucket in ("/", str(folder), "..", "./photos/..", "s3://warehouse"):
        answer = server.count_keys([{"key": "secret.txt", "etag": "x", "bucket": bucket}])
        assert answer.status == 403
        assert answer.json["error"].startswith("line 1: the server may not read this bucket; ")


def test_keys_stay_in_the_bucket(server, folder):
    [page] = open_bucket(str(folder), S3Access()).list_pages()
    etags = {stored.key: stored.etag for stored in page}
    keys = ["../secret.txt", str(folder / "secret.txt"), "../../../../../../etc/passwd"]
    lines = [{"key": key, "etag": etags["secret.txt"]} for key in keys]
    rows = server.count_keys([*lines, {"key": "a.jpg", "etag": etags["photos/a.jpg"]}]).lines
    assert [row["reason"] for row in rows] == ["the key leads out of the bucket"] * 3 + [None]
    assert rows[-1]["predicted_count"] == 4


def test_token_is_required_and_never_logged(grey_model, tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    server = Server(tmp_path, "--model", grey_model, "--token-file", "token").wait_until_ready()
    assert server.count(grey_photo(3)).status == 401
    assert server.count(grey_photo(3), authorization="Bearer wrong").status == 401
    assert server.count(grey_photo(3), authorization=f"Bearer {TOKEN}").json["predicted_count"] == 3
    assert server.stop() == 0
    log = server.log.read_text()
    assert TOKEN not in log
    assert "every client" not in log


def test_server_without_a_token_on_all_addresses_warns(server):
    assert "every client that reaches this address can use the server; --token-file requires a token" in (
        server.log.read_text()
    )


def test_default_address_is_local_outside_containers(monkeypatch, tmp_path):
    for name in serve_command._CONTAINER_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(serve_command, "_CONTAINER_FILES", (tmp_path / "dockerenv",))
    assert serve_command.default_host() == "127.0.0.1"
    (tmp_path / "dockerenv").touch()
    assert serve_command.default_host() == "0.0.0.0"
    (tmp_path / "dockerenv").unlink()
    monkeypatch.setenv("SAGEMAKER_BIND_TO_PORT", "8080")
    assert serve_command.default_host() == "0.0.0.0"


def test_errors_of_the_parser_are_json(server):
    status, body = answer_to(server, b"\x16\x03\x01 no HTTP\r\n\r\n")
    assert status == "HTTP/1.1 400 Bad Request"
    assert json.loads(body) == {"error": "the request is not valid HTTP"}
