"""Tests of the choice of the served model."""

import pytest

from reconcile.config import load_settings
from reconcile.errors import ReconcileError
from reconcile.serving import model_loading
from reconcile.serving.model_loading import load_served_model
from tests.conftest import write_grey_model


def load(monkeypatch, folder, **settings):
    """Return the version of the model that a server on a CPU loads, and the warnings."""
    monkeypatch.setenv("SM_MODEL_DIR", str(folder))
    warnings = []
    predictor = load_served_model(load_settings({"device": "cpu", **settings}, need_bucket=False), warnings.append)
    return predictor.card.version, warnings


def test_sagemaker_model_for_the_device_is_loaded(monkeypatch, tmp_path):
    for name in ("bin-counter-fp16", "bin-counter-int8", "other"):
        write_grey_model(tmp_path / f"{name}.onnx", version=name)
    assert load(monkeypatch, tmp_path) == ("bin-counter-int8", [])
    assert load(monkeypatch, tmp_path, model=tmp_path / "other.onnx") == ("other", [])
    (tmp_path / "bin-counter-int8.onnx").unlink()
    with pytest.raises(
        ReconcileError, match=r"has several models \(bin-counter-fp16.onnx, other.onnx\); choose one with --model"
    ):
        load(monkeypatch, tmp_path)
    (tmp_path / "bin-counter-fp16.onnx").unlink()
    assert load(monkeypatch, tmp_path) == ("other", [])


def test_unusable_gpu_falls_back_to_the_cpu(monkeypatch, tmp_path):
    """The GPU is chosen but does not load, as with a driver that is too old."""
    for precision in ("fp16", "int8"):
        write_grey_model(tmp_path / f"ours-{precision}.onnx", version=precision)
    monkeypatch.setattr(model_loading, "choose_device", lambda *_: "cuda")
    version, [warning] = load(monkeypatch, tmp_path, device="auto")
    assert version == "int8"
    assert warning.startswith("counting on the CPU, because the GPU cannot be used: --device cuda: ")
    with pytest.raises(ReconcileError, match=r"^--device cuda: "):
        load(monkeypatch, tmp_path, device="cuda")


def test_folder_without_a_model_loads_the_shipped_one(monkeypatch, tmp_path):
    shipped, warnings = load(monkeypatch, tmp_path / "not-there")
    assert (shipped.count("."), warnings) == (2, [])
    (tmp_path / "model.pt").touch()
    assert load(monkeypatch, tmp_path) == (
        shipped,
        [f"{tmp_path} has no .onnx file, so the server counts with the shipped model"],
    )
