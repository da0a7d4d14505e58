"""What onnxruntime does not tell or do: how many GPUs there are, and host memory that a GPU reads by itself.

Written from the documentation of the CUDA driver API (cuDeviceGetCount, cuMemHostRegister). It was not run where this
was written: there was no GPU. What can be tested without one is: that nothing is asked of a driver that is not there,
and which calls are made, in which order.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_pinned: list[NDArray[np.uint8]] = []
"""Kept for good: memory that is freed while the driver holds it would be given to others."""
_PORTABLE = 0x01
"""CU_MEMHOSTREGISTER_PORTABLE: pinned for every GPU, not only for the one that is current."""


@cache
def load_driver() -> Any:
    """NVIDIA's driver library, made ready; None where there is none."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    return driver if driver.cuInit(0) == 0 else None


def gpu_count(driver: Any) -> int:
    """How many GPUs this process may use, as CUDA_VISIBLE_DEVICES has it; 0 without a driver."""
    number = ctypes.c_int(0)
    if driver is None or driver.cuDeviceGetCount(ctypes.byref(number)) != 0:
        return 0
    return number.value


def pin(driver: Any, array: NDArray[np.uint8]) -> bool:
    """Lock an array's memory into RAM, so that a GPU fetches it by itself, beside the work of the CPU.

    A copy from ordinary memory goes through a buffer of the driver and holds up the thread that asked for it. The
    memory stays locked until the process ends: such arrays are made once and used again.

    Args:
        driver: from `load_driver`.
        array: any contiguous array.

    Returns:
        whether it is pinned; where it is not, it works all the same, only slower.
    """
    device, context, before = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p()
    if driver is None or driver.cuDeviceGet(ctypes.byref(device), 0) != 0:
        return False
    # onnxruntime works in the primary context too; it is never released, since it lives as long as the counting does.
    if driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device) != 0:
        return False
    if driver.cuCtxPushCurrent_v2(context) != 0:
        return False
    try:
        address, size = ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(array.nbytes)
        if driver.cuMemHostRegister_v2(address, size, ctypes.c_uint(_PORTABLE)) != 0:
            return False
        _pinned.append(array)
        return True
    finally:
        driver.cuCtxPopCurrent_v2(ctypes.byref(before))
