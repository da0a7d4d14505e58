"""CUDA driver calls: its version, the number of GPUs, and pinned host memory that a GPU reads by itself.

This follows the documentation of the CUDA driver API (cuDriverGetVersion, cuDeviceGetCount, cuMemHostRegister). Not
yet run on a GPU. Tests check which calls are made, in which order, and that none is made without a driver.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_pinned: list[NDArray[np.uint8]] = []
"""Pinned arrays, kept until the process ends. If such memory were freed, other code could get memory that the driver
still uses."""
_NO_DEVICE, _MISMATCH = 100, 803
"""CUDA_ERROR_NO_DEVICE and CUDA_ERROR_SYSTEM_DRIVER_MISMATCH."""
_PORTABLE = 0x01
"""CU_MEMHOSTREGISTER_PORTABLE: pin the memory for every GPU, not only for the current one."""


@cache
def load_driver() -> Any:
    """Return NVIDIA's driver library after its initialisation, or None if there is none or it cannot be used."""
    driver = open_driver()
    return driver if driver is not None and driver.cuInit(0) == 0 else None


def open_driver() -> Any:
    """Return NVIDIA's driver library before its initialisation, or None if there is none."""
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None


def driver_problem(driver: Any, needed: str) -> str | None:
    """Return why CUDA cannot be used with this driver, or None if it can.

    A driver supports all versions of CUDA up to its own, and newer ones of the same major version (CUDA Compatibility,
    section 2, minor version compatibility). So only major versions are compared.

    Args:
        driver: from `open_driver`.
        needed: the version of CUDA that ONNX Runtime was built with, such as 13.0.
    """
    if driver is None:
        return "libcuda.so.1 cannot be loaded: this machine has no NVIDIA driver"
    version = ctypes.c_int(0)
    code = driver.cuDriverGetVersion(ctypes.byref(version))
    major, minor = version.value // 1000, version.value % 1000 // 10
    if code == 0 and major < int(needed.partition(".")[0]):
        supported = f"the NVIDIA driver supports CUDA {major}.{minor}"
        return f"{supported}, but ONNX Runtime needs CUDA {needed}; update the driver"
    code = code or driver.cuInit(0)
    if code == 0:
        return None
    reasons = {
        _NO_DEVICE: "it finds no GPU; check CUDA_VISIBLE_DEVICES and how the container was started",
        _MISMATCH: "its library and its kernel module have different versions; restart the machine",
    }
    return f"the NVIDIA driver cannot be used (CUDA error {code}): {reasons.get(code, 'nvidia-smi may say more')}"


def gpu_count(driver: Any) -> int:
    """Return the number of GPUs in CUDA_VISIBLE_DEVICES.

    Args:
        driver: from `load_driver`. Without a driver, the number is 0.
    """
    number = ctypes.c_int(0)
    if driver is None or driver.cuDeviceGetCount(ctypes.byref(number)) != 0:
        return 0
    return number.value


def pin(driver: Any, array: NDArray[np.uint8]) -> bool:
    """Lock the memory of an array into RAM, so that a GPU can copy it while the CPU works.

    A copy from pageable memory goes through a buffer of the driver and blocks the calling thread. Pinned memory stays
    locked until the process ends, so such arrays are made once and used again.

    Args:
        driver: from `load_driver`.
        array: a contiguous array.

    Returns:
        whether the array is pinned. An array that is not pinned also works, but its copies are slower.
    """
    device, context, previous = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p()
    if driver is None or driver.cuDeviceGet(ctypes.byref(device), 0) != 0:
        return False
    # ONNX Runtime also works in the primary context. It is never released, because counting needs it until the end.
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
        driver.cuCtxPopCurrent_v2(ctypes.byref(previous))
