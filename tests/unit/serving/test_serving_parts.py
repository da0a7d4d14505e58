"""Parts of `reconcile serve`: which model it takes, and what it says before there is one."""

import asyncio
import json
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from reconcile.config import load_settings
from reconcile.errors import ReconcileError
from reconcile.inference.counter import load_predictor
from reconcile.logs import RunLog
from reconcile.serving import model_loading
from reconcile.serving.app import CountingApp
from reconcile.serving.batching import DynamicBatcher
from reconcile.serving.byte_budget import ByteBudget
from reconcile.serving.key_fetching import KeyCounter
from reconcile.serving.model_loading import load_chosen
from reconcile.serving.requests import RequestLine
from reconcile.storage.base import S3Access
from reconcile.storage.open import open_bucket
from tests.conftest import grey_photo, write_grey_model


def run(coroutine):
    """In a thread of its own: tests of pages, which come before, leave a loop running in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def chosen(monkeypatch, folder, **settings):
    """Version of the model that a server on a CPU takes, and its warnings."""
    monkeypatch.setenv("SM_MODEL_DIR", str(folder))
    warnings = []
    counter = load_chosen(load_settings({"device": "cpu", **settings}, need_bucket=False), warnings.append)
    return counter.card.version, warnings


def test_of_the_models_that_sagemaker_brought_the_one_for_the_device_is_taken(monkeypatch, tmp_path):
    for name in ("bin-counter-fp16", "bin-counter-int8", "other"):
        write_grey_model(tmp_path / f"{name}.onnx", version=name)
    assert chosen(monkeypatch, tmp_path) == ("bin-counter-int8", [])
    assert chosen(monkeypatch, tmp_path, model=tmp_path / "other.onnx") == ("other", [])
    (tmp_path / "bin-counter-int8.onnx").unlink()
    with pytest.raises(ReconcileError, match=r"several models \(bin-counter-fp16.onnx, other.onnx\); name one with"):
        chosen(monkeypatch, tmp_path)
    (tmp_path / "bin-counter-fp16.onnx").unlink()
    assert chosen(monkeypatch, tmp_path) == ("other", [])


def test_a_server_that_was_not_told_to_use_a_gpu_counts_on_the_cpu_where_it_cannot(monkeypatch, tmp_path):
    """The GPU's libraries load, say, and its driver is too old for them."""
    for precision in ("fp16", "int8"):
        write_grey_model(tmp_path / f"ours-{precision}.onnx", version=precision)
    monkeypatch.setattr(model_loading, "choose_device", lambda *_: "cuda")
    version, [warning] = chosen(monkeypatch, tmp_path, device="auto")
    assert version == "int8"
    assert warning.startswith("counting on the CPU: there is a GPU, but it cannot be used: --device cuda: ")
    with pytest.raises(ReconcileError, match=r"^--device cuda: "):
        chosen(monkeypatch, tmp_path, device="cuda")


def test_where_sagemaker_brought_no_model_the_shipped_one_is_taken(monkeypatch, tmp_path):
    shipped, warnings = chosen(monkeypatch, tmp_path / "not-there")
    assert (shipped.count("."), warnings) == (2, [])
    (tmp_path / "model.pt").touch()
    assert chosen(monkeypatch, tmp_path) == (
        shipped,
        [f"there is no .onnx file in {tmp_path}, so the shipped model counts"],
    )


def invocation(app, *chunks, length=None, stuck=False):
    """Status, headers and JSON of the answer to an image that comes in chunks, or stops coming."""

    async def ask():
        sent, coming = [], [*chunks]

        async def receive():
            if not coming and stuck:
                await asyncio.Event().wait()
            return {"type": "http.request", "body": coming.pop(0), "more_body": bool(coming) or stuck}

        async def send(message):
            sent.append(message)

        headers = [] if length is None else [(b"content-length", str(length).encode())]
        scope = {"type": "http", "method": "POST", "path": "/invocations", "headers": headers, "query_string": b""}
        await app.asgi(scope, receive, send)
        return sent[0]["status"], dict(sent[0]["headers"]), json.loads(sent[1]["body"])

    return ask()


@pytest.fixture(scope="module")
def shared(grey_model):
    """A model that counts on this machine."""
    return DynamicBatcher(load_predictor(grey_model, "cpu", print))


@pytest.mark.parametrize("deadlines", [{"chunk_seconds": 0.05}, {"body_seconds": 0.05}])
def test_a_body_that_does_not_come_is_waited_for_no_longer(shared, deadlines):
    app = CountingApp(RunLog("text"), None, **deadlines)
    app.set_model(shared, None)
    status, headers, said = run(invocation(app, b"hal", length=100_000, stuck=True))
    assert (status, headers[b"connection"]) == (408, b"close")
    assert said == {"error": "the body did not come: 3 bytes, and then no more in time"}
    photo = grey_photo(4)
    status, _, said = run(invocation(app, photo[:100], photo[100:]))
    assert (status, said["predicted_count"]) == (200, 4)


class HeldBack:
    """Counts when it is told to; `at_once` is the most bytes that it ever had to count."""

    def __init__(self, shared, go):
        self.counter, self._shared, self._go = shared.counter, shared, go
        self._lock, self._held, self.at_once = threading.Lock(), 0, 0

    def count(self, data):
        counted = Future()
        with self._lock:
            self._held += len(data)
            self.at_once = max(self.at_once, self._held)
        threading.Thread(target=self._count, args=(data, counted), daemon=True).start()
        return counted

    def _count(self, data, counted):
        self._go.wait()
        shares = self._shared.count(data).result()
        with self._lock:
            self._held -= len(data)
        counted.set_result(shares)


def test_of_many_images_only_so_many_bytes_are_held(shared):
    photo, go = grey_photo(5), threading.Event()
    held = HeldBack(shared, go)
    app = CountingApp(RunLog("text"), None, image_bytes=3 * len(photo) + 1)
    app.set_model(held, None)

    async def all_at_once():
        asked = [asyncio.create_task(invocation(app, photo, length=len(photo))) for _ in range(10)]
        # One that does not say how long it is may be larger than all of the room.
        asked.append(asyncio.create_task(invocation(app, photo)))
        for _ in range(100):
            await asyncio.sleep(0)
        go.set()
        return await asyncio.gather(*asked)

    answers = run(all_at_once())
    assert [(status, said["predicted_count"]) for status, _, said in answers] == [(200, 5)] * 11
    assert held.at_once == 3 * len(photo)


@pytest.mark.parametrize("images", [0, 1, 3])
def test_of_many_keys_only_so_many_bytes_are_held(shared, tmp_path, images):
    photo, go = grey_photo(5), threading.Event()
    held = HeldBack(shared, go)
    (tmp_path / "1.jpg").write_bytes(photo)
    [[stored]] = open_bucket(str(tmp_path), S3Access()).list_pages()
    keys = KeyCounter(held, S3Access(), f"{tmp_path}/", image_bytes=images * len(photo) + 1)
    threading.Timer(0.2, go.set).start()
    lines = [RequestLine(key=stored.key, etag=stored.etag)] * 10
    rows = [row for found in keys.rows(lines) for row in found]
    assert [row["predicted_count"] for row in rows] == [5] * 10
    assert held.at_once <= max(images, 1) * len(photo)


def test_whoever_goes_while_they_wait_for_room_leaves_it_to_others():
    async def scene():
        room = ByteBudget(10)
        async with room.taken(9):
            gone = asyncio.create_task(enter(room, 5))
            small = asyncio.create_task(enter(room, 1))
            await asyncio.sleep(0)
            assert not small.done()  # nobody is overtaken
            gone.cancel()
            await asyncio.wait_for(small, 10)
        await asyncio.wait_for(enter(room, 10), 10)
        await asyncio.wait_for(enter(room, 100), 10)

    async def enter(room, size):
        async with room.taken(size):
            pass

    run(scene())


@pytest.mark.parametrize(("method", "path"), [("GET", "/ping"), ("POST", "/invocations")])
def test_without_a_model_there_is_nothing_to_ask(method, path):
    async def ask():
        sent = []

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b""}
        await CountingApp(RunLog("text"), None).asgi(scope, receive, send)
        return sent[0]["status"], json.loads(sent[1]["body"])

    assert run(ask()) == (503, {"error": "the model is being loaded"})
