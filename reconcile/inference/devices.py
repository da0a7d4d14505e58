"""Which device counts: what was asked for, what is there, and which library is missing where it cannot be used."""

from __future__ import annotations

import ctypes
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import onnxruntime as ort

from reconcile.errors import ReconcileError

if TYPE_CHECKING:
    from collections.abc import Callable


CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"


def choose_device(asked: str, warn: Callable[[str], None]) -> str:
    """Turn `auto` into cpu or cuda, and make sure that a GPU that was asked for can be used.

    Args:
        asked: auto, cpu, cuda or tensorrt; `auto` takes CUDA where it loads, and the CPU otherwise.
        warn: called with one line where `auto` finds a GPU and cannot use it.

    Returns:
        cpu, cuda or tensorrt.

    Raises:
        ReconcileError: the GPU that was asked for does not load; the message names the missing library.
    """
    if asked == "cpu":
        return "cpu"
    if asked == "auto":
        if not _has_nvidia_device():
            return "cpu"
        missing = _missing_library("cuda")
        if missing:
            warn(f"counting on the CPU: there is a GPU, but {missing}")
        return "cpu" if missing else "cuda"
    missing = _missing_library(asked)
    if missing:
        raise ReconcileError(f"--device {asked}: {missing}")
    return asked


def _has_nvidia_device() -> bool:
    return any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/dxg"))


def _missing_library(device: str) -> str | None:
    """Why onnxruntime's provider library cannot be loaded; None where it can."""
    provider = TENSORRT if device == "tensorrt" else CUDA
    if provider not in ort.get_available_providers():
        return f"this onnxruntime has no {provider}; it needs onnxruntime-gpu"
    if sys.platform != "linux":
        return None
    with redirect_stdout(StringIO()):  # it prints what it cannot load; standard output is for results
        ort.preload_dlls()
    # The providers lean on this one, which the process has to hold first.
    folder = Path(ort.__file__).parent / "capi"
    try:
        ctypes.CDLL(str(folder / "libonnxruntime_providers_shared.so"), mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(folder / f"libonnxruntime_providers_{device}.so"))
    except OSError as error:
        library = str(error).split(":")[0]
        if library.startswith("libcuda.so"):
            return f"{library} cannot be loaded: there is no NVIDIA driver on this machine"
        advice = (
            "pip install tensorrt" if library.startswith("libnvinfer") else "install reconcile with its extra `gpu`"
        )
        return f"{library} cannot be loaded ({advice})"
    return None
