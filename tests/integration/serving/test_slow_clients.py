"""Tests of clients that do not receive the answers of `reconcile serve`, or send requests before the answers."""

import json
import socket
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import grey_photo
from tests.serving_process import Server

SHORT_LIMIT = (
    "from reconcile.web import connections as c; c.RECEIVE_SECONDS = 1; from reconcile.cli import main; main()"
)
PING = b"GET /ping HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-type: application/jsonlines\r\ncontent-length: %d\r\n\r\n"
WAIT_SECONDS = 60
ROWS = 50_000


@pytest.fixture(scope="module")
def server(tmp_path_factory, grey_model):
    """Return the real server, except that clients have one second to receive what was sent."""
    folder = tmp_path_factory.mktemp("slow")
    running = Server(folder, "--model", grey_model, "--bucket", "./", command=(sys.executable, "-c", SHORT_LIMIT))
    yield running.wait_until_ready()
    assert running.stop() == 0, running.log.read_text()
    assert "error" not in running.log.read_text().lower()


@pytest.fixture
def client(server):
    """Return a connection with a small buffer."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(WAIT_SECONDS)
        client.connect(("127.0.0.1", server.port))
        yield client


def send_keys(client):
    """Send a request whose answer is too large for all buffers."""
    line = json.dumps({"key": "a.jpg", "etag": "x", "size": 0}).encode() + b"\n"
    client.sendall(POST % (len(line) * ROWS) + line * ROWS)


def open_sockets(server):
    """Return the number of sockets that the server holds."""
    links = [path.readlink() for path in Path(f"/proc/{server.process.pid}/fd").iterdir() if path.is_symlink()]
    return sum(str(link).startswith("socket:") for link in links)


def test_client_that_does_not_receive_its_answer_is_given_up(server, client):
    client.sendall(PING)
    answer = b""
    while not answer.endswith(b"}"):  # then the server has accepted the connection
        answer += client.recv(1000)
    before = open_sockets(server)
    send_keys(client)
    for _ in range(WAIT_SECONDS * 10):
        if open_sockets(server) < before:
            break
        time.sleep(0.1)
    assert open_sockets(server) < before
    answer = b"".join(iter(lambda: client.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert not answer.endswith(b"0\r\n\r\n")
    assert server.count(grey_photo(2)).json["predicted_count"] == 2


@pytest.mark.parametrize("queued", [PING * 100, POST % 30_000_000 + bytes(2**20)])
def test_endless_requests_before_an_answer_end_the_connection(server, client, queued):
    send_keys(client)
    try:
        while piece := client.recv(100_000):
            assert piece
            client.sendall(queued)
    except ConnectionError:
        pass
    assert server.request("GET", "/ping").status == 200


def test_some_requests_before_an_answer_are_answered_in_turn(client):
    client.sendall(PING * 10 + PING.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
    with client.makefile("rb") as answers:
        assert answers.read().count(b"HTTP/1.1 200 OK") == 11
