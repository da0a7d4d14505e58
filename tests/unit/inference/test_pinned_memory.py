"""The calls to the CUDA driver, and that there are none without it."""

import ctypes

import numpy as np
import pytest

from reconcile.inference.pinned_memory import gpu_count, pin


class Driver:
    """A driver that records its calls and returns the given codes; 0 means success."""

    def __init__(self, **codes):
        self.calls, self.codes = [], codes

    def __getattr__(self, name):
        def call(*arguments):
            self.calls.append((name, arguments))
            if name == "cuDeviceGetCount":
                ctypes.cast(arguments[0], ctypes.POINTER(ctypes.c_int))[0] = 4
            return self.codes.get(name, 0)

        return call

    def names(self):
        return [name for name, _ in self.calls]


def test_without_a_driver_nothing_is_pinned():
    assert gpu_count(None) == 0
    assert pin(None, np.zeros(4, dtype=np.uint8)) is False


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
