"""Tests of `reconcile serve`, started as in a SageMaker container: formats, keys, batches and invalid input."""

import csv
import io
import json
import shutil
import socket
from datetime import UTC, datetime

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from reconcile.images import load_image
from reconcile.inference.counter import load_predictor
from reconcile.output.schemas import COUNTS_SCHEMA
from reconcile.serving.responses import CSV_COLUMNS
from reconcile.storage.base import S3Access
from reconcile.storage.open import open_bucket
from tests.conftest import LABELS, SHARED, grey_photo, needs_abid, reconcile, write_bucket, write_grey_model
from tests.serving_process import Server

PARALLEL_REQUESTS = 32
COLUMNS = [*CSV_COLUMNS, *(f"probability_{name}" for name in LABELS.names)]


@pytest.fixture(scope="module")
def warehouse_s3(start_s3_server, tmp_path_factory):
    """Return an S3 server with the bucket `warehouse`: bin N holds N items, for N from 0 to 6."""
    root = tmp_path_factory.mktemp("s3")
    write_bucket(root / "warehouse", {str(count): (count, None) for count in range(7)})
    (root / "warehouse/bin-images/note.jpg").write_bytes(b"<html>no image</html>")
    return start_s3_server(root)


@pytest.fixture(scope="module")
def server(warehouse_s3, tmp_path_factory):
    """Return a server with its model in SageMaker's folder: one file for CPUs, and one for GPUs."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "model").mkdir()
    write_grey_model(folder / "model/bin-counter-int8.onnx")
    write_grey_model(folder / "model/bin-counter-fp16.onnx", version="for-gpus")
    variables = {"RECONCILE_BUCKET": "warehouse", "RECONCILE_ENDPOINT_URL": warehouse_s3.endpoint_url}
    running = Server(
        folder, "--allow-bucket", "./photos", "--allow-bucket", "./gone", SM_MODEL_DIR=folder / "model", **variables
    ).wait_until_ready()
    yield running
    assert running.stop() == 0, running.log.read_text()


@pytest.fixture
def objects(warehouse_s3):
    """Return the images of the bucket, as listed."""
    [page] = open_bucket("warehouse", S3Access(warehouse_s3.endpoint_url)).list_pages("bin-images/")
    return page


def line(stored, **more):
    """Return the request line of a listed image."""
    return {"key": stored.key, "etag": stored.etag, "size": stored.size} | more


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
    assert fields == {"image_key": None, "predicted_label": "6+", "predicted_count": 6, "model_id": model_id}
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


def test_rows_follow_the_order_of_the_keys(server, objects, grey_model):
    by_key = {stored.key: stored for stored in objects}
    counted = [by_key[f"bin-images/{count}.jpg"] for count in (6, 0, 3)]
    request = [
        *map(line, counted),
        {"key": "bin-images/gone.jpg", "etag": "x"},
        line(by_key["bin-images/1.jpg"], etag="an earlier one"),
        line(by_key["bin-images/note.jpg"]),
        line(by_key["bin-images/2.jpg"], size=10**9),
        line(counted[0]),
    ]
    before = datetime.now(UTC)
    answer = server.count_keys(request)
    assert (answer.status, answer.media_type) == (200, "application/jsonlines")
    rows = answer.lines
    assert [(row["image_key"], row["etag"]) for row in rows] == [(one["key"], one["etag"]) for one in request]
    assert all(list(row) == [*COUNTS_SCHEMA.names, "model_id"] for row in rows)
    assert [row["predicted_count"] for row in rows] == [6, 0, 3, None, None, None, None, 6]
    assert [row["try_again"] for row in rows] == [False, False, False, True, True, False, False, False]
    for row, reason in zip(
        rows[3:7], ["the object does not exist", "the object changed", "not an image", "954 MB"], strict=True
    ):
        assert row["reason"].startswith(reason)
        assert row["predicted_label"] is row["probabilities"] is None
    assert all(before <= datetime.fromisoformat(row["counted_at"]) <= datetime.now(UTC) for row in rows)
    # A local run with another file of the same weights gives the same counts, to the last bit.
    local = load_predictor(grey_model, "cpu", print)
    for row, count in zip(rows, (6, 0, 3), strict=False):
        pixels = load_image(grey_photo(count), local.card.input_size)
        assert np.array_equal(np.float32(row["probabilities"]), local.count(pixels[None])[0])
        assert [repr(prob) for prob in row["probabilities"]] == [
            repr(float(str(np.float32(prob)))) for prob in row["probabilities"]
        ]


def test_rows_are_equal_as_json_and_csv(server, objects):
    request = [line(objects[0]), {"key": 'gone, "or not".jpg', "etag": "x"}]
    plain = [row | {"counted_at": ""} for row in server.count_keys(request).lines]
    array = server.count_keys(request, accept="application/json").json
    assert [row | {"counted_at": ""} for row in array] == plain
    header, *lines = csv.reader(
        io.StringIO(server.count_keys(request, accept="text/csv; header=present").body.decode())
    )
    without = list(csv.reader(io.StringIO(server.count_keys(request, accept="text/csv").body.decode())))
    assert header == COLUMNS
    assert len(without) == len(lines) == 2
    for cells, row in zip(lines, plain, strict=True):
        by_column = dict(zip(COLUMNS, cells, strict=True))
        assert by_column["image_key"] == row["image_key"]
        assert by_column["reason"] == (row["reason"] or "")
        assert by_column["try_again"] == json.dumps(row["try_again"])
        probs = [by_column[f"probability_{name}"] for name in LABELS.names]
        assert [float(prob) for prob in probs if prob] == (row["probabilities"] or [])


def test_line_names_its_own_bucket(server, warehouse_s3):
    photos = server.log.parent / "photos"
    photos.mkdir()
    (photos / "a.jpg").write_bytes(grey_photo(4))
    [[in_folder]] = open_bucket(str(photos), S3Access()).list_pages()
    [page] = open_bucket("s3://warehouse/bin-images", S3Access(warehouse_s3.endpoint_url)).list_pages()
    request = [line(in_folder, bucket=str(photos)), line(page[5], bucket="s3://warehouse/bin-images")]
    assert [row["predicted_count"] for row in server.count_keys(request).lines] == [4, 5]


def test_long_request_gets_every_row(server):
    request = [{"key": f"{number}.jpg", "etag": "x", "size": 0} for number in range(5000)]
    rows = server.count_keys(request).lines
    assert [row["image_key"] for row in rows] == [one["key"] for one in request]


@needs_abid
def test_rows_are_those_of_a_local_run(start_s3_server, tmp_path):
    """This test uses the shipped model and real photos."""
    photos = sorted((SHARED / "night/bin-images").iterdir())[:100]
    (tmp_path / "s3/night/bin-images").mkdir(parents=True)
    for photo in photos:
        shutil.copy(photo, tmp_path / "s3/night/bin-images")
    shutil.copytree(
        SHARED / "night/metadata", tmp_path / "s3/night/metadata", ignore=lambda _, names: sorted(names)[9:]
    )
    endpoint = start_s3_server(tmp_path / "s3").endpoint_url
    variables = {"RECONCILE_BUCKET": "night", "RECONCILE_ENDPOINT_URL": endpoint}
    # The local run ends before the server starts, because both at the same time are slow.
    done = reconcile("run", "--bucket", "night", "--endpoint-url", endpoint, "--out", "out")
    assert done.returncode == 0, done.stderr
    parts = list((tmp_path / "out/counts").rglob("*.parquet"))  # several if the machine is slow
    local = {row["image_key"]: row for part in parts for row in pq.read_table(part).to_pylist()}
    [page] = open_bucket("night", S3Access(endpoint)).list_pages("bin-images/")
    server = Server(tmp_path, SM_MODEL_DIR=tmp_path / "nothing-here", **variables).wait_until_ready()
    rows = server.count_keys([line(stored) for stored in page]).lines
    assert server.stop() == 0
    assert len(rows) == len(local) == 100
    for row in rows:
        assert row.pop("model_id") == parts[0].parent.name
        expected = local[row["image_key"]]
        kept = {name: row[name] for name in row if name != "counted_at"}
        assert kept | {"probabilities": [float(np.float32(prob)) for prob in row["probabilities"]]} == {
            name: expected[name] for name in kept
        }
