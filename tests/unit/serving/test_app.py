"""Tests of the HTTP application: time limits, memory limits, and requests before the model is loaded."""

import asyncio
import json
import threading

import pytest

from reconcile.logs import RunLog
from reconcile.serving.app import CountingApp
from reconcile.serving.bucket_access import AllowedBuckets
from reconcile.serving.key_fetching import KeyCounter
from reconcile.storage.base import S3Access
from tests.conftest import grey_photo
from tests.unit.serving.helpers import DelayedBatcher, run

LINES = "application/jsonlines"


async def request(app, *chunks, method="POST", path="/invocations", length=None, stuck=False, **fields):
    """Send a body in chunks, and return status, headers and JSON of the response.

    With `stuck`, the client sends nothing after the chunks and does not end the body.
    """
    sent, remaining = [], [*chunks]

    async def receive():
        if not remaining:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": remaining.pop(0), "more_body": bool(remaining) or stuck}

    async def send(message):
        sent.append(message)

    fields |= {} if length is None else {"content_length": length}
    headers = [(name.replace("_", "-").encode(), str(value).encode()) for name, value in fields.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": headers, "query_string": b""}
    await app.asgi(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), json.loads(sent[1]["body"])


@pytest.mark.parametrize("deadlines", [{"chunk_seconds": 0.05}, {"body_seconds": 0.05}])
def test_stuck_body_times_out(batcher, deadlines):
    app = CountingApp(RunLog("text"), None, **deadlines)
    app.set_model(batcher, None)
    status, headers, answer = run(request(app, b"hal", length=100_000, stuck=True))
    assert (status, headers[b"connection"]) == (408, b"close")
    assert answer == {"error": "the request timed out: its body stopped or was too slow after 3 bytes"}
    photo = grey_photo(4)
    status, _, answer = run(request(app, photo[:100], photo[100:]))
    assert (status, answer["predicted_count"]) == (200, 4)


def test_body_that_trickles_times_out(batcher, monkeypatch):
    monkeypatch.setattr("reconcile.serving.app._BODY_BYTES_PER_SECOND", 100_000)
    app = CountingApp(RunLog("text"), None, chunk_seconds=0.5)
    app.set_model(batcher, None)
    chunks = [0]

    async def trickle():
        async def receive():
            await asyncio.sleep(0.05)
            chunks[0] += 1
            return {"type": "http.request", "body": b"x", "more_body": True}

        sent = []

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/invocations", "headers": [], "query_string": b""}
        await asyncio.wait_for(app.asgi(scope, receive, send), 60)
        return sent[0]["status"]

    assert run(trickle()) == 408
    assert chunks[0] < 20


@pytest.mark.parametrize(("encoding", "expected"), [("gzip", 415), ("identity", 200), ("Identity", 200), ("br", 415)])
def test_compressed_body_is_refused(batcher, encoding, expected):
    app = CountingApp(RunLog("text"), None)
    app.set_model(batcher, None)
    status, _, answer = run(request(app, grey_photo(4), content_encoding=encoding))
    assert status == expected
    if expected == 415:
        error = f"the body is compressed (Content-Encoding {encoding}); send it uncompressed"
        assert answer == {"error": error}


@pytest.mark.parametrize("name", ["accept", "content_type"])
def test_long_list_of_media_types_is_refused(batcher, name):
    app = CountingApp(RunLog("text"), None)
    app.set_model(batcher, None)
    status, _, answer = run(request(app, grey_photo(4), **{name: "image/png;q=0.1," * 3000}))
    assert status == 431
    assert answer["error"].endswith(" is longer than 2,000 characters")


def test_image_requests_hold_a_limited_number_of_bytes(batcher):
    photo, start = grey_photo(5), threading.Event()
    delayed = DelayedBatcher(batcher, start)
    app = CountingApp(RunLog("text"), None, image_bytes=3 * len(photo) + 1)
    app.set_model(delayed, None)

    async def send_all():
        requests = [asyncio.create_task(request(app, photo, length=len(photo))) for _ in range(10)]
        # A request without a length counts as the largest image, which is more than the whole budget.
        requests.append(asyncio.create_task(request(app, photo)))
        for _ in range(100):
            await asyncio.sleep(0)
        start.set()
        return await asyncio.gather(*requests)

    answers = run(send_all())
    assert [(status, answer["predicted_count"]) for status, _, answer in answers] == [(200, 5)] * 11
    assert delayed.most_bytes == 3 * len(photo)


@pytest.mark.parametrize(("method", "path"), [("GET", "/ping"), ("POST", "/invocations")])
def test_requests_before_the_model_is_loaded_get_503(method, path):
    app = CountingApp(RunLog("text"), None)
    status, _, answer = run(request(app, b"", method=method, path=path))
    assert (status, answer) == (503, {"error": "the model is still loading"})


def test_bodies_with_keys_hold_a_limited_number_of_bytes(batcher, tmp_path):
    app = CountingApp(RunLog("text"), None, lines_bytes=1000)
    app.set_model(batcher, KeyCounter(batcher, S3Access(), AllowedBuckets(f"{tmp_path}/")))
    body = b'{"key": "gone", "etag": "x"}'

    async def send_both():
        first = asyncio.create_task(request(app, body[:5], content_type=LINES, length=900, stuck=True))
        second = asyncio.create_task(request(app, body, content_type=LINES, length=len(body)))
        large = asyncio.create_task(request(app, body, content_type=LINES, length=200))
        await asyncio.wait_for(second, 10)
        await asyncio.sleep(0.2)
        assert not large.done(), "the first body holds too many bytes"
        first.cancel()
        return await second, await asyncio.wait_for(large, 10)

    assert [status for status, _, _ in run(send_both())] == [200, 200]


def test_image_type_of_sagemaker_is_accepted(batcher):
    app = CountingApp(RunLog("text"), None)
    app.set_model(batcher, None)
    status, _, answer = run(request(app, grey_photo(4), content_type="application/x-image"))
    assert (status, answer["predicted_count"]) == (200, 4)
