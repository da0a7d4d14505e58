"""The count model by OpenVINO, for CPUs with matrix tiles (Intel's AMX), which onnxruntime does not use.

With them int8 is about twice as fast. On other CPUs OpenVINO has little or nothing to offer, and onnxruntime counts.
Both read the same file. OpenVINO rounds once less where two branches meet: about 1 photo in 100 is counted otherwise.
"""

from __future__ import annotations

import importlib.util
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reconcile.inference.onnx_sessions import INPUT, OUTPUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Run = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


OPENVINO = "OpenVINO"
_CPUINFO = Path("/proc/cpuinfo")
_TOOLS = "openvino.tools.ovc"
_PATCHES, _TRIED = 8, 8
_ALIKE = 0.03
"""Mean difference of logits, in standard deviations. The shipped model has 0.007; one whose mean over the image is
quantised, as `reconcile export` did up to 0.3.0 and OpenVINO computes otherwise, 0.07."""


def is_available(cpuinfo: Path = _CPUINFO) -> bool:
    """Whether this CPU has matrix tiles for 8-bit integers, and OpenVINO is installed.

    Args:
        cpuinfo: where Linux tells what the CPU can do, a line of flags for each core.
    """
    try:
        flags = next((line for line in cpuinfo.read_text().splitlines() if line.startswith("flags")), "")
    except OSError:  # no Linux
        return False
    return "amx_int8" in flags.split() and importlib.util.find_spec("openvino") is not None


def open_requests(path: Path, cores: int, batch_size: int) -> list[Run]:
    """One single-threaded way to count for each core: uint8 [N, S, S, 3] → logits, float32 [N, labels].

    Args:
        path: the ONNX file.
        cores: how many to keep busy.
        batch_size: the largest N.

    Raises:
        Exception: of many kinds; it cannot be loaded.
    """
    options = {
        # Without these two it leaves out the second threads of cores, and several of our threads would wait for one.
        "PERFORMANCE_HINT": "THROUGHPUT",
        "ENABLE_HYPER_THREADING": True,
        "NUM_STREAMS": cores,
        "INFERENCE_NUM_THREADS": cores,
        # Threads that decode share the cores: the kernel knows better who goes where.
        "ENABLE_CPU_PINNING": False,
        # By itself it would compute in bfloat16 what is no integer, which is no faster.
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = _openvino().Core().compile_model(path, "CPU", options)
    return [partial(_infer, compiled.create_infer_request(), batch_size) for _ in range(cores)]


def _openvino() -> Any:
    """OpenVINO without its tools to convert models: when imported, they tell Google Analytics, and write to ~/intel."""
    kept = sys.modules.setdefault(_TOOLS, None)  # type: ignore[arg-type]  # with None an import fails, as it expects
    try:
        import openvino
    finally:
        if kept is None:
            del sys.modules[_TOOLS]
    return openvino


def _infer(request: Any, batch_size: int, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Each new N costs OpenVINO a while and memory for good, so there are only 1, 2, 4, 8 …, and full batches."""
    number = len(batch)
    padded = max(number, min(1 << (number - 1).bit_length(), batch_size))
    if padded > number:
        batch = np.concatenate([batch, np.zeros((padded - number, *batch.shape[1:]), dtype=np.uint8)])
    logits: NDArray[np.float32] = request.infer({INPUT: batch}, share_inputs=True)[OUTPUT]
    return logits[:number]


def reason(error: Exception) -> str:
    """What went wrong, in a line; OpenVINO first names the places in its source where it noticed."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(("Exception from ", "Check '"))]
    return " ".join(told)[:300] or type(error).__name__


def outputs_agree(tiled: Run, plain: Run, size: int, batch_size: int) -> bool:
    """Whether OpenVINO and onnxruntime say the same of a few images of coloured patches.

    Not every graph that `reconcile run --model` may be given is one that OpenVINO computes as it is meant. It prepares
    itself for each number of images at a time, so it is asked for a whole batch, as the night will.

    Args:
        tiled: uint8 [N, S, S, 3] → logits, float32 [N, labels], by OpenVINO.
        plain: the same by onnxruntime.
        size: S.
        batch_size: images at a time.
    """
    colours = np.random.default_rng(0).integers(0, 256, (_TRIED, _PATCHES, _PATCHES, 3), dtype=np.uint8)
    side = -(-size // _PATCHES)
    images = np.ascontiguousarray(colours.repeat(side, axis=1).repeat(side, axis=2)[:, :size, :size])
    theirs = plain(images)
    ours = tiled(np.resize(images, (batch_size, *images.shape[1:])))  # the same images over and over
    theirs = np.resize(theirs, (batch_size, theirs.shape[1]))
    return bool(np.abs(ours - theirs).mean() <= _ALIKE * theirs.std())
