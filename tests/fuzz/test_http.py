"""Fuzz tests of `reconcile serve`: requests of strangers get an answer or an error, and never end the server."""

import io
import json
import socket
import threading
import time

import pytest
import uvicorn

from reconcile.inference.counter import load_predictor
from reconcile.logs import RunLog
from reconcile.serving.app import CountingApp
from reconcile.serving.batching import DynamicBatcher
from reconcile.serving.bucket_access import AllowedBuckets, ForbiddenBucket, ForbiddenKey
from reconcile.serving.key_fetching import KeyCounter
from reconcile.serving.requests import InvalidRequestLine, parse_request_lines
from reconcile.storage.base import S3Access
from reconcile.web.connections import LimitedProtocol
from tests.conftest import grey_photo
from tests.fuzz.inputs import changed, corpus, fuzz


@pytest.fixture(scope="module")
def port(tmp_path_factory, grey_model):
    """Return the port of a server in this process."""
    folder = tmp_path_factory.mktemp("serve")
    batcher = DynamicBatcher(load_predictor(grey_model, "cpu", print))
    app = CountingApp(RunLog("text"), None)
    app.set_model(batcher, KeyCounter(batcher, S3Access(), AllowedBuckets(f"{folder}/")))
    config = uvicorn.Config(app.asgi, http=LimitedProtocol, ws="none", log_config=None, log_level="critical")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join(60)
    assert not thread.is_alive()


def answers_to(port, data):
    """Send bytes, end the sending, and return what the server sends until it closes the connection."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            while piece := client.recv(65_536):
                received += piece
        except ConnectionError:
            pass
    return received


@fuzz(700, changed(corpus("http-*")))
def test_damaged_request_gets_an_answer_or_none(port, data):
    answer = answers_to(port, data)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
    assert not answer.startswith(b"HTTP/1.1 500")


def test_server_counts_after_all_damaged_requests(port):
    photo = grey_photo(5)
    head = b"POST /invocations HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(photo)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(head + photo)
        with client.makefile("rb") as answer:
            assert b'"predicted_count": 5' in answer.read()


@fuzz(1500, changed(corpus("request-*")))
def test_damaged_lines_of_keys_are_parsed_or_refused(data):
    try:
        lines = list(parse_request_lines(io.BytesIO(data)))
    except InvalidRequestLine:
        return
    for line in lines:
        assert line.key
        assert "\0" not in line.key + (line.bucket or "")


PARTS = ("..", ".", "", "photos", "a.jpg", "%2e%2e", "~", "s3:", "file:", "out", "etc", "\\", "..\\")
STARTS = ("", "", "/", "s3://bins/", "file:///", "{}/", "{}/photos/")


def any_place(random):
    """Return the bucket and the key of a line."""
    key = "/".join(random.choices(PARTS, k=random.randrange(1, 6)))
    bucket = random.choice(STARTS) + "/".join(random.choices(PARTS, k=random.randrange(5)))
    return random.choice((None, bucket)), key


@fuzz(1500, any_place)
def test_key_never_leads_out_of_the_allowed_folder(tmp_path_factory, place):
    root = tmp_path_factory.getbasetemp() / "allowed"
    (root / "photos").mkdir(parents=True, exist_ok=True)
    if not (root / "photos/out").is_symlink():
        (root / "photos/out").symlink_to("/etc")
    buckets = AllowedBuckets(f"{root}/photos/", ["s3://bins/photos"])
    bucket, key = place
    try:
        location = buckets.locate(bucket and bucket.format(root), key)
    except (ForbiddenBucket, ForbiddenKey, InvalidRequestLine):
        return
    if location.bucket.startswith("s3://"):
        assert ".." not in location.key.split("/")
    else:
        assert (root / "photos" / location.key).resolve().is_relative_to(root / "photos")


def any_fields(random):
    """Return the fields of a line. Most have the right type."""
    names = [name for name in ("key", "etag", "size", "bucket", "x") if random.random() < 0.8]
    return {
        name: random.choice(("a", "", "\0", 3, -1, None) if name != "size" else (3, -1, "3", None)) for name in names
    }


@fuzz(1000, any_fields)
def test_line_of_any_values_is_parsed_as_written_or_refused(fields):
    try:
        [line] = parse_request_lines(io.BytesIO(json.dumps(fields).encode()))
    except InvalidRequestLine:
        return
    assert (line.key, line.etag) == (fields["key"], fields["etag"])
    assert line.size == fields.get("size")
