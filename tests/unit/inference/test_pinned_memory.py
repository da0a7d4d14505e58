"""The calls to the CUDA driver, and that there are none without it."""

import ctypes

import numpy as np
import pytest

from reconcile.inference.pinned_memory import driver_problem, gpu_count, pin


class Driver:
    """A driver that records its calls and returns the given codes; 0 means success."""

    def __init__(self, version=13000, **codes):
        self.calls, self.codes, self.version = [], codes, version

    def __getattr__(self, name):
        def call(*arguments):
            self.calls.append((name, arguments))
            if name == "cuDriverGetVersion":
                ctypes.cast(arguments[0], ctypes.POINTER(ctypes.c_int))[0] = self.version
            if name == "cuDeviceGetCount":
                ctypes.cast(arguments[0], ctypes.POINTER(ctypes.c_int))[0] = 4
            return self.codes.get(name, 0)

        return call

    def names(self):
        return [name for name, _ in self.calls]


def test_without_a_driver_nothing_is_pinned():
    assert gpu_count(None) == 0
    assert pin(None, np.zeros(4, dtype=np.uint8)) is False


@pytest.mark.parametrize(
    ("driver", "problem"),
    [
        (None, "libcuda.so.1 cannot be loaded: this machine has no NVIDIA driver"),
        (Driver(), None),
        (Driver(version=14020), None),
        (
            Driver(version=12040),
            "the NVIDIA driver supports CUDA 12.4, but ONNX Runtime needs CUDA 13.1; update the driver",
        ),
        (
            Driver(cuInit=100),
            "the NVIDIA driver cannot be used (CUDA error 100): it finds no GPU; check CUDA_VISIBLE_DEVICES and how "
            "the container was started",
        ),
        (
            Driver(cuInit=803),
            "the NVIDIA driver cannot be used (CUDA error 803): its library and its kernel module have different "
            "versions; restart the machine",
        ),
        (Driver(cuInit=999), "the NVIDIA driver cannot be used (CUDA error 999): nvidia-smi may say more"),
    ],
)
def test_driver_that_cannot_run_cuda_is_explained_in_one_line(driver, problem):
    assert driver_problem(driver, "13.1") == problem
    if driver is not None and driver.version < 13000:
        assert driver.names() == ["cuDriverGetVersion"], "an old driver is not initialised"


def test_driver_reports_the_number_of_gpus():
    assert gpu_count(Driver()) == 4
    assert gpu_count(Driver(cuDeviceGetCount=100)) == 0


def test_memory_is_pinned_for_all_gpus_and_context_restored():
    driver, array = Driver(), np.zeros((2, 8, 8, 3), dtype=np.uint8)
    assert pin(driver, array) is True
    assert driver.names() == [
        "cuDeviceGet",
        "cuDevicePrimaryCtxRetain",
        "cuCtxPushCurrent_v2",
        "cuMemHostRegister_v2",
        "cuCtxPopCurrent_v2",
    ]
    address, size, flags = driver.calls[3][1]
    assert (address.value, size.value, flags.value) == (array.ctypes.data, array.nbytes, 1)


@pytest.mark.parametrize("failing", ["cuDeviceGet", "cuDevicePrimaryCtxRetain", "cuCtxPushCurrent_v2"])
def test_failing_driver_call_pins_nothing(failing):
    driver = Driver(**{failing: 2})
    assert pin(driver, np.zeros(4, dtype=np.uint8)) is False
    assert driver.names()[-1] == failing


def test_context_is_restored_if_pinning_fails():
    driver = Driver(cuMemHostRegister_v2=2)
    assert pin(driver, np.zeros(4, dtype=np.uint8)) is False
    assert driver.names()[-1] == "cuCtxPopCurrent_v2"
