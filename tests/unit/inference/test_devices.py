"""Which device counts, and what is said where it cannot."""

import sys

import onnxruntime as ort
import pytest

from reconcile.errors import ReconcileError
from reconcile.inference import devices
from reconcile.inference.counter import load_predictor
from reconcile.inference.devices import choose_device


def test_auto_takes_the_cpu_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(devices, "_has_nvidia_device", lambda: False)
    assert choose_device("auto", pytest.fail) == "cpu"


def test_auto_takes_cuda_where_it_loads(monkeypatch):
    monkeypatch.setattr(devices, "_has_nvidia_device", lambda: True)
    monkeypatch.setattr(devices, "_missing_library", lambda device: None)
    assert choose_device("auto", pytest.fail) == "cuda"


def test_auto_says_so_when_it_falls_back(monkeypatch):
    said = []
    monkeypatch.setattr(devices, "_has_nvidia_device", lambda: True)
    monkeypatch.setattr(devices, "_missing_library", lambda device: "libcudnn.so.9 cannot be loaded")
    assert choose_device("auto", said.append) == "cpu"
    assert said == ["counting on the CPU: there is a GPU, but libcudnn.so.9 cannot be loaded"]


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_gpu_that_was_asked_for_must_load(monkeypatch, device):
    monkeypatch.setattr(devices, "_missing_library", lambda device: "libcublas.so.13 cannot be loaded")
    with pytest.raises(ReconcileError, match=f"--device {device}: libcublas.so.13 cannot be loaded"):
        choose_device(device, pytest.fail)


@pytest.mark.skipif(sys.platform != "linux", reason="onnxruntime-gpu is installed on Linux only")
@pytest.mark.skipif(devices._has_nvidia_device(), reason="this machine has a GPU")
def test_the_missing_library_is_named(grey_model):
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        pytest.skip("this onnxruntime is built without CUDA")
    with pytest.raises(ReconcileError, match=r"--device cuda: lib\S+\.so\S* cannot be loaded"):
        load_predictor(grey_model, "cuda", pytest.fail)
