"""Tests of images that clients send to `reconcile serve`, started as in a SageMaker container."""

import csv
import io
import json
import socket

import pytest
from PIL import Image

from reconcile.serving.responses import CSV_COLUMNS
from tests.conftest import LABELS, grey_photo

PARALLEL_REQUESTS = 32
COLUMNS = [*CSV_COLUMNS, *(f"probability_{name}" for name in LABELS.names), "note"]


def test_ping_and_execution_parameters_describe_the_server(server):
    assert server.request("GET", "/ping").json["model_id"].startswith("grey-")
    parameters = server.request("GET", "/execution-parameters").json
    assert parameters.pop("MaxConcurrentTransforms") >= 1
    assert parameters == {"BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 1}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_image_formats_are_counted(server, kind):
    buffer = io.BytesIO()
    Image.new("RGB", (60, 50), (120,) * 3).save(buffer, kind)
    for content_type in (f"image/{kind.lower()}", "application/octet-stream", "Image/X-Unheard-Of; q=1"):
        answer = server.count(buffer.getvalue(), content_type=content_type)
        assert answer.status == 200
        assert answer.json["predicted_count"] == 3


def test_image_gets_count_and_probabilities(server, grey_model):
    answer = server.count(grey_photo(6))
    assert answer.media_type == "application/json"
    fields = answer.json
    probs = fields.pop("probabilities")
    model_id = server.request("GET", "/ping").json["model_id"]
    expected = {"image_key": None, "predicted_label": "6+", "predicted_count": 6, "note": None, "model_id": model_id}
    assert fields == expected
    assert list(probs) == list(LABELS.names)
    assert sum(probs.values()) == pytest.approx(1)
    plain = server.count(grey_photo(6), accept="text/csv").body.decode()
    with_header = server.count(grey_photo(6), accept="text/csv; header=present").body.decode()
    header, row = csv.reader(io.StringIO(with_header))
    [alone] = csv.reader(io.StringIO(plain))
    assert header == COLUMNS
    for cells in (alone, row):
        by_column = dict(zip(COLUMNS, cells, strict=True))
        assert (by_column["image_key"], by_column["predicted_label"], by_column["try_again"]) == ("", "6+", "false")
        assert [float(by_column[f"probability_{name}"]) for name in LABELS.names] == list(probs.values())


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", "application/json"),
        ("application/json; charset=utf-8", "application/json"),
        ("application/x-ndjson", "application/x-ndjson"),
        ("text/csv", "text/csv"),
        ("text/*", "text/csv"),
        ("text/csv;q=0.1, application/jsonlines;q=0.2, text/html", "application/jsonlines"),
        ("application/json;q=0, text/csv;q=0.5", "text/csv"),
        ("application/xml", None),
        ("application/json;q=0", None),
        ("nonsense", None),
    ],
)
def test_accept_header_chooses_the_format(server, accept, expected):
    answer = server.count(grey_photo(1), accept=accept)
    if expected is None:
        assert answer.status == 406
        assert "text/csv" in answer.json["error"]
    else:
        assert (answer.status, answer.media_type.partition(";")[0]) == (200, expected)


def test_parallel_images_share_batches(server):
    photos = [grey_photo(number % 7, (64 + number, 48)) for number in range(PARALLEL_REQUESTS)]
    alone = [server.count(photo).json for photo in photos]
    before = server.request("GET", "/ping").json
    sockets = [socket.create_connection(("127.0.0.1", server.port)) for _ in photos]
    for connection, photo in zip(sockets, photos, strict=True):
        head = (
            f"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-type: image/jpeg\r\ncontent-length: {len(photo)}\r\n\r\n"
        )
        connection.sendall(head.encode() + photo[:-1])
    for connection, photo in zip(sockets, photos, strict=True):
        connection.sendall(photo[-1:])
    together = []
    for connection in sockets:
        with connection.makefile("rb") as answer:
            assert b" 200 " in answer.readline()
            length = 0
            while (header := answer.readline().strip().lower()) != b"":
                length = int(header.split()[1]) if header.startswith(b"content-length:") else length
            together.append(json.loads(answer.read(length)))
        connection.close()
    after = server.request("GET", "/ping").json
    assert together == alone
    assert after["images"] - before["images"] == PARALLEL_REQUESTS
    assert after["batches"] - before["batches"] < PARALLEL_REQUESTS


@pytest.mark.parametrize(
    ("body", "content_type", "status", "reason"),
    [
        (b"", "image/jpeg", 400, "the object is empty (0 bytes)"),
        (b"hello", "image/jpeg", 400, "not an image"),
        (grey_photo(3)[:300], "application/octet-stream", 400, "damaged image"),
        (bytes(33 * 2**20), "image/png", 413, "the body is over the limit of 32 MB"),
        (b"1,2,3", "text/csv", 415, "unsupported Content-Type text/csv; expected image/*, "),
        (b"", "application/jsonlines", 400, "the request is empty"),
        (b'{"key": "a", "etag": "b"}\n{"key": "a"}\n', "application/jsonlines", 400, "line 2: etag: "),
        (b'{"key": "a", "etag": "b"}\n\n', "application/x-ndjson", 400, "line 2: Invalid JSON"),
        (b'{"key": "a", "etag": 1}', "application/jsonlines", 400, "line 1: etag: "),
        (b'{"key": "a", "etag": "b", "size": -1}', "application/jsonlines", 400, "line 1: size: "),
        (b'{"key": "\\u0000", "etag": "b"}', "application/jsonlines", 400, "line 1: key: "),
        (b'{"key": "\\ud800", "etag": "b"}', "application/jsonlines", 400, "line 1: Invalid JSON"),
        (b'{"key": "\xff", "etag": "b"}', "application/jsonlines", 400, "line 1: "),
        (b'["a", "b"]', "application/jsonlines", 400, "line 1: "),
        (b"x" * 70_000, "application/jsonlines", 400, "line 1 is longer than 64 kB"),
        (
            b'{"key": "a", "etag": "b", "bucket": "./nowhere"}',
            "application/jsonlines",
            403,
            "line 1: the server may not read this bucket; name it with --allow-bucket when the server starts",
        ),
        (b'{"key": "a", "etag": "b", "bucket": "./gone"}', "application/jsonlines", 503, "there is no such folder"),
    ],
)
def test_invalid_input_gets_an_error(server, body, content_type, status, reason):
    answer = server.request("POST", "/invocations", body, content_type=content_type)
    assert answer.status == status
    assert answer.json["error"].startswith(reason)
    assert server.count(grey_photo(2)).json["predicted_count"] == 2


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/invocations", 405), ("GET", "/elsewhere", 404)])
def test_unknown_methods_and_paths_get_an_error(server, method, path, status):
    answer = server.request(method, path)
    assert answer.status == status
    assert answer.json["error"]


def test_server_survives_clients_that_disconnect(server):
    for sent in (
        b"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhal",
        b"\x16\x03\x01 no HTTP\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(sent)
    assert server.count(grey_photo(2)).status == 200
