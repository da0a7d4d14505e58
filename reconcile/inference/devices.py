"""Choose a device and name the library that is missing."""

from __future__ import annotations

import ctypes
import sys
from contextlib import redirect_stdout, suppress
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import onnxruntime as ort
from onnxruntime.capi import build_and_package_info

from reconcile.errors import ReconcileError
from reconcile.inference.pinned_memory import driver_problem, open_driver

if TYPE_CHECKING:
    from collections.abc import Callable


_CUDA = "13.0"
"""The version of CUDA that onnxruntime-gpu needs, if it does not say so."""
_TENSORRT_PACKAGE = "tensorrt_libs"
"""The Python package of TensorRT's wheels that holds only libraries."""
_TENSORRT_LIBRARIES = ("libnvinfer.so.10", "libnvonnxparser.so.10")
"""The libraries that onnxruntime's provider is linked with. The second needs the first."""
CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"


def choose_device(requested: str, warn: Callable[[str], None]) -> str:
    """Resolve `auto` to cpu or cuda, and check that a requested GPU can be used.

    Args:
        requested: auto, cpu, cuda or tensorrt. `auto` means CUDA if it loads, else the CPU.
        warn: called with one line if `auto` finds a GPU that it cannot use.

    Returns:
        cpu, cuda or tensorrt.

    Raises:
        ReconcileError: the requested GPU does not load. The message names the missing library.
    """
    if requested == "cpu":
        return "cpu"
    if requested == "auto":
        if not _has_nvidia_device():
            return "cpu"
        missing = _missing_library("cuda")
        if missing:
            warn(f"counting on the CPU, because the GPU cannot be used: {missing}")
        return "cpu" if missing else "cuda"
    missing = _missing_library(requested)
    if missing:
        raise ReconcileError(f"--device {requested}: {missing}")
    return requested


def _has_nvidia_device() -> bool:
    return any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/dxg"))


def _missing_library(device: str) -> str | None:
    """Return why ONNX Runtime's provider library cannot be loaded, or None if it can."""
    provider = TENSORRT if device == "tensorrt" else CUDA
    if provider not in ort.get_available_providers():
        return f"this ONNX Runtime has no {provider}; install onnxruntime-gpu"
    if sys.platform != "linux":
        return None
    # An old driver would fail inside ONNX Runtime, with several lines on standard error.
    cuda = str(getattr(build_and_package_info, "cuda_version", "") or _CUDA)
    problem = driver_problem(open_driver(), cuda)
    if problem is not None:
        return problem
    with redirect_stdout(StringIO()):  # preload_dlls prints failures, but standard output is for results
        ort.preload_dlls()
    if device == "tensorrt":
        _preload_tensorrt()
    # The providers depend on the shared library, which the process has to load first.
    folder = Path(ort.__file__).parent / "capi"
    try:
        ctypes.CDLL(str(folder / "libonnxruntime_providers_shared.so"), mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(folder / f"libonnxruntime_providers_{device}.so"))
    except OSError as error:
        library = str(error).split(":")[0]
        # The newest TensorRT has other library names.
        advice = (
            f"pip install 'tensorrt-cu{cuda.partition('.')[0]}-libs<11'"
            if library.startswith(("libnvinfer", "libnvonnxparser"))
            else "install reconcile with its extra `gpu`"
        )
        return f"{library} cannot be loaded ({advice})"
    return None


def _preload_tensorrt() -> None:
    """Load the libraries of an installed TensorRT wheel, which are in no folder that the system searches.

    `onnxruntime.preload_dlls` loads CUDA and cuDNN only.
    """
    spec = find_spec(_TENSORRT_PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for name in _TENSORRT_LIBRARIES:
            with suppress(OSError):  # loading the provider names the library that is missing
                ctypes.CDLL(str(Path(folder, name)), mode=ctypes.RTLD_GLOBAL)
