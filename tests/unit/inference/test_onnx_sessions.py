"""Sessions: how many, with which options, and that none quietly runs elsewhere."""

import re

import pytest

from reconcile.errors import ReconcileError
from reconcile.inference import counter as counter_module
from reconcile.inference import devices, onnx_sessions, openvino_cpu
from reconcile.inference.counter import load_predictor
from reconcile.inference.onnx_sessions import engine_folder, gpu_providers
from tests.conftest import needs_openvino

SHAPE = (128, 160, 160, 3)


@pytest.mark.parametrize("tiles", [False, pytest.param(True, marks=needs_openvino)])
def test_one_session_a_core(grey_model, monkeypatch, tiles):
    monkeypatch.setattr(openvino_cpu, "is_available", lambda: tiles)
    monkeypatch.setattr(counter_module, "available_cores", lambda: 3)
    assert load_predictor(grey_model, "cpu", pytest.fail).workers == 3


class FakeSession:
    """Stands for a session on a GPU; `provider` is what onnxruntime would say it has become."""

    def __init__(self, asked, provider):
        self.asked, self.provider = asked, provider

    def get_providers(self):
        return [self.provider]


@pytest.fixture
def gpus(monkeypatch):
    """A machine with three GPUs, as far as anybody can tell; collects what sessions are asked to run on."""
    asked = []
    real = onnx_sessions.ort.InferenceSession

    def open_session(path, options, providers, enable_fallback=True):
        if providers == [devices.CPU]:
            return real(path, options, providers=providers)
        assert not enable_fallback
        asked.append(providers)
        return FakeSession(providers, asked.provider or providers[0][0])

    class Asked(list):
        provider = None

    asked = Asked()
    monkeypatch.setattr(onnx_sessions.ort, "InferenceSession", open_session)
    monkeypatch.setattr(onnx_sessions, "gpu_count", lambda driver: 3)
    monkeypatch.setattr(devices, "_missing_library", lambda device: None)
    return asked


@pytest.mark.parametrize(("device", "provider"), [("cuda", devices.CUDA), ("tensorrt", devices.TENSORRT)])
def test_every_gpu_gets_a_session_of_its_own(gpus, grey_model, device, provider):
    opened = onnx_sessions.open_gpu_sessions(grey_model, "id", device, SHAPE)
    assert len(opened) == 3
    assert [providers[0][0] for providers in gpus] == [provider] * 3
    assert [[options["device_id"] for _, options in providers[:-1]] for providers in gpus] == [
        [str(gpu)] * (2 if device == "tensorrt" else 1) for gpu in range(3)
    ]
    assert all(providers[-1] == devices.CPU for providers in gpus)


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_silent_fallback_is_noticed(gpus, grey_model, device):
    gpus.provider = devices.CPU
    with pytest.raises(ReconcileError, match=f"--device {device}: onnxruntime fell back to CPUExecutionProvider"):
        load_predictor(grey_model, device, pytest.fail)


def test_auto_counts_on_the_cpu_where_cuda_loads_and_does_not_work(gpus, grey_model, monkeypatch):
    gpus.provider = devices.CPU
    monkeypatch.setattr(openvino_cpu, "is_available", lambda: False)
    monkeypatch.setattr(devices, "_has_nvidia_device", lambda: True)
    said = []
    counter = load_predictor(grey_model, "auto", said.append)
    assert counter.provider == devices.CPU
    assert len(gpus) == 3  # they were tried
    [line] = said
    assert line.startswith("counting on the CPU: there is a GPU, but it cannot be used: ")


def test_tensorrt_is_told_the_one_shape_it_will_see_and_keeps_its_engines(tmp_path):
    (_, tensorrt), (_, cuda), last = gpu_providers("tensorrt", 1, SHAPE, tmp_path)
    assert {tensorrt[f"trt_profile_{which}_shapes"] for which in ("min", "opt", "max")} == {"images:128x160x160x3"}
    assert (tensorrt["trt_engine_cache_enable"], tensorrt["trt_engine_cache_path"]) == ("1", str(tmp_path))
    assert tensorrt["trt_fp16_enable"] == "1"
    assert cuda["prefer_nhwc"] == "1"
    assert last == devices.CPU


def test_every_option_is_one_that_onnxruntime_knows(tmp_path):
    """The names are looked up in onnxruntime's own libraries, which refuse those they do not know."""
    folder = devices.Path(onnx_sessions.ort.__file__).parent / "capi"
    libraries = {name: folder / f"libonnxruntime_providers_{name}.so" for name in ("cuda", "tensorrt")}
    if not all(path.exists() for path in libraries.values()):
        pytest.skip("this onnxruntime is built without CUDA")
    for provider, options in gpu_providers("tensorrt", 0, SHAPE, tmp_path)[:-1]:
        known = libraries["cuda" if provider == devices.CUDA else "tensorrt"].read_bytes()
        unknown = [name for name in options if not re.search(rb"\b" + name.encode() + rb"\b", known)]
        assert not unknown


def test_engines_are_kept_apart_by_model_and_survive_a_home_that_is_read_only(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert engine_folder("1.0-abc") == tmp_path / "reconcile/tensorrt/1.0-abc"
    assert engine_folder("1.0-def") != engine_folder("1.0-abc")
    (tmp_path / "file").write_text("no folder can be made in here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(onnx_sessions.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    assert engine_folder("1.0-abc") == tmp_path / "temporary/reconcile-tensorrt/1.0-abc"
