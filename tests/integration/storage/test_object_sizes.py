"""Tests of objects that are larger than allowed: their bytes are not read, whatever the listing says."""

import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from reconcile.concurrency.channels import StageGroup
from reconcile.engines.ray import worker
from reconcile.images import UnreadableImage, check_size
from reconcile.pipeline.thumbnails import fetch_thumbnails
from reconcile.storage.base import S3Access, StoredObject
from reconcile.storage.open import open_bucket
from reconcile.streaming.fetch import start_fetching
from tests.conftest import ACCESS_KEY, SECRET_KEY

HUGE = 6_500_000_000
MOST_SENT = 50_000_000  # what the server may write before it notices that nobody reads: the buffers of the sockets
LISTED = StoredObject("huge.jpg", 1000, "etag", datetime(2026, 1, 1, tzinfo=UTC))
ODD_KEY = "a//huge.jpg"  # only boto3 can express it
REASON = "6199 MB, over the limit of 32 MB"


class HugeObjects(BaseHTTPRequestHandler):
    """Each object has 6.5 GB."""

    protocol_version = "HTTP/1.1"
    sent = 0

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(HUGE))
        self.send_header("ETag", '"etag"')
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.end_headers()
        try:
            for _ in range(HUGE // 2**20):
                self.wfile.write(bytes(2**20))
                type(self).sent += 2**20
        except OSError:
            pass
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def bucket(monkeypatch):
    """Return a bucket whose server sends objects of 6.5 GB."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setattr(HugeObjects, "sent", 0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), HugeObjects)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield open_bucket("bins", S3Access(f"http://127.0.0.1:{server.server_port}", "us-east-1"))
    server.shutdown()
    server.server_close()
    assert HugeObjects.sent < MOST_SENT


@pytest.mark.parametrize("key", ["huge.jpg", ODD_KEY])
def test_object_above_the_limit_is_not_read(bucket, key):
    with pytest.raises(UnreadableImage, match=REASON):
        bucket.get(key, "etag", check_size)


def test_run_does_not_read_an_object_that_grew(bucket):
    class Listing:
        def __iter__(self):
            yield LISTED

        def stop(self):
            pass

    with StageGroup() as stages:
        [fetched] = list(start_fetching(stages, bucket, Listing(), check_size))
    assert str(fetched.error) == REASON


def test_ray_worker_does_not_read_an_object_that_grew(bucket):
    [future] = worker._fetched(bucket, [LISTED])
    assert str(future.exception()) == REASON


def test_report_goes_on_without_the_thumbnail_of_a_huge_object(bucket):
    assert fetch_thumbnails(bucket, [{"image_key": "huge.jpg", "image_etag": "etag"}]) == [None]


def test_local_file_is_read_only_up_to_its_checked_size(tmp_path):
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(2**40)
    (tmp_path / "small.jpg").write_bytes(b"small")
    folder = open_bucket(str(tmp_path), S3Access())
    with pytest.raises(UnreadableImage, match="1048576 MB, over the limit of 32 MB"):
        folder.get("huge.jpg", None, check_size)
    assert folder.get("small.jpg", None, check_size) == b"small"
