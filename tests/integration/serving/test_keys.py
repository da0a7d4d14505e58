"""Tests of requests with keys to `reconcile serve`, started as in a SageMaker container."""

import csv
import io
import json
import shutil
from datetime import UTC, datetime

import numpy as np
import pyarrow.parquet as pq

from reconcile.images import load_image
from reconcile.inference.counter import load_predictor
from reconcile.output.schemas import COUNTS_SCHEMA
from reconcile.serving.responses import CSV_COLUMNS
from reconcile.storage.base import S3Access
from reconcile.storage.open import open_bucket
from tests.conftest import LABELS, SHARED, grey_photo, needs_abid, reconcile
from tests.serving_process import Server

COLUMNS = [*CSV_COLUMNS, *(f"probability_{name}" for name in LABELS.names), "note"]


def line(stored, **more):
    """Return the request line of a listed image."""
    return {"key": stored.key, "etag": stored.etag, "size": stored.size} | more


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
