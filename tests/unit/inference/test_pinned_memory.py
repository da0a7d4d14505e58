"""The CUDA driver: what is asked of it, and that nothing is where it is missing."""

import ctypes

import numpy as np
import pytest

from reconcile.inference.pinned_memory import gpu_count, pin


class Driver:
    """Writes down the calls and answers as told: 0 is the driver's word for success."""

    def __init__(self, **answers):
        self.calls, self.answers = [], answers

    def __getattr__(self, name):
        def call(*arguments):
            self.calls.append((name, arguments))
            if name == "cuDeviceGetCount":
                ctypes.cast(arguments[0], ctypes.POINTER(ctypes.c_int))[0] = 4
            return self.answers.get(name, 0)

        return call

    def names(self):
        return [name for name, _ in self.calls]


def test_without_a_driver_there_is_no_gpu_and_nothing_is_pinned():
    assert gpu_count(None) == 0
    assert pin(None, np.zeros(4, dtype=np.uint8)) is False


def test_gpus_are_counted_by_the_driver():
    assert gpu_count(Driver()) == 4
    assert gpu_count(Driver(cuDeviceGetCount=100)) == 0


def test_an_arrays_own_memory_is_pinned_for_all_gpus_and_the_context_put_back():
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
def test_a_driver_that_refuses_leaves_the_array_as_it_is(failing):
    driver = Driver(**{failing: 2})
    assert pin(driver, np.zeros(4, dtype=np.uint8)) is False
    assert driver.names()[-1] == failing


def test_memory_that_cannot_be_pinned_still_puts_the_context_back():
    driver = Driver(cuMemHostRegister_v2=2)
    assert pin(driver, np.zeros(4, dtype=np.uint8)) is False
    assert driver.names()[-1] == "cuCtxPopCurrent_v2"
