"""Conditional writes on S3 and in folders: of several simultaneous writers, one succeeds."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from reconcile.storage.base import S3Access
from reconcile.storage.local import LocalBucket
from reconcile.storage.open import open_bucket


@pytest.mark.parametrize("kind", ["s3", "folder"])
def test_one_of_concurrent_conditional_writes_succeeds(kind, moto, moto_client, tmp_path, monkeypatch):
    put = LocalBucket.put
    # A slow write, so that other threads read the old object before it is replaced.
    monkeypatch.setattr(LocalBucket, "put", lambda *arguments: time.sleep(0.05) or put(*arguments))
    if kind == "s3":
        moto_client.create_bucket(Bucket="shared")
    bucket = open_bucket("shared" if kind == "s3" else str(tmp_path), moto)
    assert bucket.read("k") is None
    assert not bucket.replace("k", b"0", "none")
    with ThreadPoolExecutor(8) as pool:
        for content in (b"a", b"b", b"c"):
            existing = bucket.read("k")
            if existing is None:
                written = list(pool.map(lambda n: bucket.create("k", b"a" * n), range(1, 9)))
            else:
                etag = existing[0].etag
                written = list(pool.map(lambda n: bucket.replace("k", content * n, etag), range(1, 9)))  # noqa: B023
            stored, data = bucket.read("k")
            assert written.count(True) == 1
            assert data == content * (written.index(True) + 1)
            assert stored.size == len(data)


def test_conditional_write_works_when_the_server_rejects_conditions():
    class UnconditionalHandler(BaseHTTPRequestHandler):
        def do_PUT(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(501 if {"If-Match", "If-None-Match"} & set(self.headers) else 200)
            self.send_header("ETag", '"x"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), UnconditionalHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        bucket = open_bucket("s3://shared/nightly", S3Access(endpoint_url=f"http://127.0.0.1:{server.server_port}"))
        assert bucket.create("k", b"1")
        assert bucket.replace("k", b"2", "x")
        server.shutdown()
