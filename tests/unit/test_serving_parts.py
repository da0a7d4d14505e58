"""Parts of `reconcile serve`: which model it takes, and what it says before there is one."""

import asyncio
import json

import pytest

from reconcile.config import load_settings
from reconcile.errors import ReconcileError
from reconcile.messages import Messages
from reconcile.serving.app import CountingApp
from reconcile.serving.choice import load_chosen
from tests.conftest import write_grey_model


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


def test_where_sagemaker_brought_no_model_the_shipped_one_is_taken(monkeypatch, tmp_path):
    shipped, warnings = chosen(monkeypatch, tmp_path / "not-there")
    assert (shipped.count("."), warnings) == (2, [])
    (tmp_path / "model.pt").touch()
    assert chosen(monkeypatch, tmp_path) == (
        shipped,
        [f"there is no .onnx file in {tmp_path}, so the shipped model counts"],
    )


@pytest.mark.parametrize(("method", "path"), [("GET", "/ping"), ("POST", "/invocations")])
def test_without_a_model_there_is_nothing_to_ask(method, path):
    async def ask():
        sent = []

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b""}
        await CountingApp(Messages("text"), None).asgi(scope, receive, send)
        return sent[0]["status"], json.loads(sent[1]["body"])

    assert asyncio.run(ask()) == (503, {"error": "the model is being loaded"})
