"""The choice of a device, and the message if it cannot be used."""

import sys
from pathlib import Path

import onnxruntime as ort
import pytest

from reconcile.errors import ReconcileError
from reconcile.inference import devices
from reconcile.inference.counter import load_predictor
from reconcile.inference.devices import choose_device


def test_auto_is_the_cpu_without_a_gpu(monkeypatch):
    monkeypatch.setattr(devices, "_has_nvidia_device", lambda: False)
    assert choose_device("auto", pytest.fail) == "cpu"


def test_auto_is_cuda_if_it_loads(monkeypatch):
    monkeypatch.setattr(devices, "_has_nvidia_device", lambda: True)
    monkeypatch.setattr(devices, "_missing_library", lambda device: None)
    assert choose_device("auto", pytest.fail) == "cuda"


def test_auto_warns_if_the_gpu_cannot_be_used(monkeypatch):
    warnings = []
    monkeypatch.setattr(devices, "_has_nvidia_device", lambda: True)
    monkeypatch.setattr(devices, "_missing_library", lambda device: "libcudnn.so.9 cannot be loaded")
    assert choose_device("auto", warnings.append) == "cpu"
    assert warnings == ["counting on the CPU, because the GPU cannot be used: libcudnn.so.9 cannot be loaded"]


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_requested_gpu_that_does_not_load_is_an_error(monkeypatch, device):
    monkeypatch.setattr(devices, "_missing_library", lambda device: "libcublas.so.13 cannot be loaded")
    with pytest.raises(ReconcileError, match=f"--device {device}: libcublas.so.13 cannot be loaded"):
        choose_device(device, pytest.fail)


@pytest.fixture
def loaded(monkeypatch):
    """Collect the libraries that are loaded, as if all loaded but those in `missing`."""

    class Loaded(list):
        missing = ()

    def load(path, mode=0):
        name = Path(path).name
        if name in libraries.missing:
            raise OSError(f"{libraries.missing[name]}: cannot open shared object file: No such file or directory")
        libraries.append(name)

    libraries = Loaded()
    monkeypatch.setattr(devices.sys, "platform", "linux")
    monkeypatch.setattr(devices.ort, "get_available_providers", lambda: [devices.TENSORRT, devices.CUDA])
    monkeypatch.setattr(devices.ort, "preload_dlls", lambda: libraries.append("CUDA"), raising=False)
    monkeypatch.setattr(devices.ctypes, "CDLL", load)
    monkeypatch.setattr(devices, "open_driver", lambda: None)
    monkeypatch.setattr(devices, "driver_problem", lambda driver, needed: None)
    return libraries


def test_tensorrt_libraries_of_wheels_are_loaded_before_the_provider(loaded, monkeypatch, tmp_path):
    (tmp_path / "tensorrt_libs").mkdir()
    (tmp_path / "tensorrt_libs/__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert choose_device("tensorrt", pytest.fail) == "tensorrt"
    providers = ["libonnxruntime_providers_shared.so", "libonnxruntime_providers_tensorrt.so"]
    assert loaded == ["CUDA", "libnvinfer.so.10", "libnvonnxparser.so.10", *providers]


def test_missing_tensorrt_names_the_library_and_its_package(loaded, monkeypatch):
    monkeypatch.setattr(devices.build_and_package_info, "cuda_version", "13.0", raising=False)
    loaded.missing = {"libonnxruntime_providers_tensorrt.so": "libnvinfer.so.10"}
    with pytest.raises(ReconcileError) as raised:
        choose_device("tensorrt", pytest.fail)
    assert str(raised.value) == (
        "--device tensorrt: libnvinfer.so.10 cannot be loaded (pip install 'tensorrt-cu13-libs<11')"
    )


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_driver_is_asked_before_any_library_is_loaded(loaded, monkeypatch, device):
    monkeypatch.setattr(devices.build_and_package_info, "cuda_version", "13.0", raising=False)
    monkeypatch.setattr(devices, "open_driver", lambda: "driver")
    asked = []
    monkeypatch.setattr(devices, "driver_problem", lambda *arguments: asked.append(arguments) or "it is old")
    with pytest.raises(ReconcileError, match=f"^--device {device}: it is old$"):
        choose_device(device, pytest.fail)
    assert (asked, loaded) == ([("driver", "13.0")], [])


@pytest.mark.skipif(sys.platform != "linux", reason="onnxruntime-gpu is installed on Linux only")
@pytest.mark.skipif(devices._has_nvidia_device(), reason="this machine has a GPU")
def test_error_names_the_missing_library(grey_model):
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        pytest.skip("this onnxruntime is built without CUDA")
    with pytest.raises(ReconcileError, match=r"--device cuda: lib\S+\.so\S* cannot be loaded"):
        load_predictor(grey_model, "cuda", pytest.fail)
