"""The choice of a device, and the message if it cannot be used."""

import sys

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


@pytest.mark.skipif(sys.platform != "linux", reason="onnxruntime-gpu is installed on Linux only")
@pytest.mark.skipif(devices._has_nvidia_device(), reason="this machine has a GPU")
def test_error_names_the_missing_library(grey_model):
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        pytest.skip("this onnxruntime is built without CUDA")
    with pytest.raises(ReconcileError, match=r"--device cuda: lib\S+\.so\S* cannot be loaded"):
        load_predictor(grey_model, "cuda", pytest.fail)
