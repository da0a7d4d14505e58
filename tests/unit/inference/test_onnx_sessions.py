"""The number and options of sessions, and that none runs on another device unnoticed."""

import re

import pytest

from reconcile.errors import ReconcileError
from reconcile.inference import counter as counter_module
from reconcile.inference import devices, onnx_sessions, openvino_cpu
from reconcile.inference.counter import load_predictor
from reconcile.inference.onnx_sessions import engine_folder, gpu_providers
from tests.conftest import needs_openvino

SHAPE = (128, 160, 160, 3)


@pytest.mark.parametrize("amx", [False, pytest.param(True, marks=needs_openvino)])
def test_predictor_has_one_worker_per_core(grey_model, monkeypatch, amx):
    monkeypatch.setattr(openvino_cpu, "is_available", lambda: amx)
    monkeypatch.setattr(counter_module, "available_cores", lambda: 3)
    assert load_predictor(grey_model, "cpu", pytest.fail).workers == 3


class FakeSession:
    """A session on a GPU. `provider` is the one that ONNX Runtime would report."""

    def __init__(self, provider):
        self.provider = provider

    def get_providers(self):
        return [self.provider]


@pytest.fixture
def gpus(monkeypatch):
    """Simulate three GPUs, and collect the providers that sessions are opened with."""
    real = onnx_sessions.ort.InferenceSession

    def open_session(path, options, providers, enable_fallback=True):
        if providers == [devices.CPU]:
            return real(path, options, providers=providers)
        assert not enable_fallback
        assert options.intra_op_num_threads == 1
        assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
        requests.append(providers)
        return FakeSession(requests.provider or providers[0][0])

    class Requests(list):
        provider = None

    requests = Requests()
    monkeypatch.setattr(onnx_sessions.ort, "InferenceSession", open_session)
    monkeypatch.setattr(onnx_sessions, "gpu_count", lambda driver: 3)
    monkeypatch.setattr(devices, "_missing_library", lambda device: None)
    return requests


@pytest.mark.parametrize(("device", "provider"), [("cuda", devices.CUDA), ("tensorrt", devices.TENSORRT)])
def test_every_gpu_has_its_own_session(gpus, grey_model, device, provider):
    opened = onnx_sessions.open_gpu_sessions(grey_model, "id", device, SHAPE)
    assert len(opened) == 3
    assert [providers[0][0] for providers in gpus] == [provider] * 3
    assert [[options["device_id"] for _, options in providers[:-1]] for providers in gpus] == [
        [str(gpu)] * (2 if device == "tensorrt" else 1) for gpu in range(3)
    ]
    assert all(providers[-1] == devices.CPU for providers in gpus)


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_fallback_to_another_provider_is_an_error(gpus, grey_model, device):
    gpus.provider = devices.CPU
    with pytest.raises(ReconcileError, match=f"--device {device}: ONNX Runtime used CPUExecutionProvider instead"):
        load_predictor(grey_model, device, pytest.fail)


def test_auto_counts_on_the_cpu_if_cuda_loads_but_fails(gpus, grey_model, monkeypatch):
    gpus.provider = devices.CPU
    monkeypatch.setattr(openvino_cpu, "is_available", lambda: False)
    monkeypatch.setattr(devices, "_has_nvidia_device", lambda: True)
    warnings = []
    predictor = load_predictor(grey_model, "auto", warnings.append)
    assert predictor.provider == devices.CPU
    assert len(gpus) == 3  # sessions on all three were opened
    [warning] = warnings
    assert warning.startswith("counting on the CPU, because the GPU cannot be used: ")


def test_tensorrt_gets_one_shape_and_a_cache_for_its_engines(tmp_path):
    (_, tensorrt), (_, cuda), last = gpu_providers("tensorrt", 1, SHAPE, tmp_path)
    assert {tensorrt[f"trt_profile_{which}_shapes"] for which in ("min", "opt", "max")} == {"images:128x160x160x3"}
    assert (tensorrt["trt_engine_cache_enable"], tensorrt["trt_engine_cache_path"]) == ("True", str(tmp_path))
    assert tensorrt["trt_fp16_enable"] == tensorrt["trt_timing_cache_enable"] == "True"
    assert cuda["prefer_nhwc"] == "1"
    assert last == devices.CPU


def test_every_provider_option_exists_in_onnxruntime(tmp_path):
    """The names are searched for in the provider libraries, which refuse unknown ones."""
    folder = devices.Path(onnx_sessions.ort.__file__).parent / "capi"
    libraries = {name: folder / f"libonnxruntime_providers_{name}.so" for name in ("cuda", "tensorrt")}
    if not all(path.exists() for path in libraries.values()):
        pytest.skip("this onnxruntime is built without CUDA")
    for provider, options in gpu_providers("tensorrt", 0, SHAPE, tmp_path)[:-1]:
        known = libraries["cuda" if provider == devices.CUDA else "tensorrt"].read_bytes()
        unknown = [name for name in options if not re.search(rb"\b" + name.encode() + rb"\b", known)]
        assert not unknown


def refusal(provider, options):
    """Return what onnxruntime's parser of options says. It runs before the libraries of the provider are loaded."""
    session_options = onnx_sessions.ort.SessionOptions()
    session_options.log_severity_level = 4
    try:
        session_options.add_provider(provider, options)
        onnx_sessions.ort.InferenceSession(b"", session_options)
    except Exception as error:
        return str(error)
    return ""


def test_onnxruntime_accepts_every_option_of_tensorrt(tmp_path):
    if devices.TENSORRT not in onnx_sessions.ort.get_available_providers():
        pytest.skip("this onnxruntime is built without TensorRT")
    (provider, options), *_ = gpu_providers("tensorrt", 0, SHAPE, tmp_path)
    for name in [name for name, value in options.items() if value == "True"]:
        assert f"The value for the key '{name}' should be 'True' or 'False'" in refusal(provider, {name: "1"})
    assert "Invalid TensorRT EP option: nonsense" in refusal(provider, options | {"nonsense": "True"})
    accepted = refusal(provider, options)
    assert not re.search("TensorRT EP option|should be 'True' or 'False'|sto[ui]", accepted), accepted


def test_switches_of_tensorrt_are_words_that_onnxruntime_accepts(tmp_path):
    """The parser is in onnxruntime's Python module. Its message for a wrong switch names the switch and both words.

    The parser itself runs only after the TensorRT libraries are loaded.
    """
    [module] = devices.Path(onnx_sessions.ort.__file__).parent.glob("capi/onnxruntime_pybind11_state*")
    messages = module.read_bytes()
    switches = set(re.findall(rb"The value for the key '(\w+)' should be 'True' or 'False'", messages))
    if b"trt_fp16_enable" not in switches:
        pytest.skip("this onnxruntime is built without TensorRT")
    (_, options), *_ = gpu_providers("tensorrt", 0, SHAPE, tmp_path)
    words = {name: value for name, value in options.items() if name.encode() in switches}
    assert words == dict.fromkeys(("trt_fp16_enable", "trt_engine_cache_enable", "trt_timing_cache_enable"), "True")


def test_engine_folder_differs_by_model_without_a_writable_home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert engine_folder("1.0-abc") == tmp_path / "reconcile/tensorrt/1.0-abc"
    assert engine_folder("1.0-def") != engine_folder("1.0-abc")
    (tmp_path / "file").write_text("no folder can be made in here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(onnx_sessions.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    assert engine_folder("1.0-abc") == tmp_path / "temporary/reconcile-tensorrt/1.0-abc"
