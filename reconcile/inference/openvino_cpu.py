"""Count with OpenVINO on CPUs with AMX, Intel's matrix tiles, which ONNX Runtime does not use.

OpenVINO reads the same file. On CPUs without AMX it has little or no advantage, so ONNX Runtime counts there. OpenVINO
rounds once less where two branches of the network meet. docs/explanation/design/performance.md has measurements.
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
_CONVERTERS = "openvino.tools.ovc"
_PATCHES = 8
"""The number of coloured patches along each side of a test image."""
_TEST_IMAGES = 8
_MAX_DIFFERENCE = 0.03
"""The largest accepted mean difference of logits, in standard deviations of the logits.

The shipped model has a smaller one. A model with a quantised global average, as `reconcile export` wrote up to version
0.3.0, has a larger one, because OpenVINO computes it differently.
"""


def is_available(cpuinfo: Path = _CPUINFO) -> bool:
    """Return whether this CPU has AMX for 8-bit integers, and OpenVINO is installed.

    Args:
        cpuinfo: the file in which Linux lists the features of each core.
    """
    try:
        flags = next((line for line in cpuinfo.read_text().splitlines() if line.startswith("flags")), "")
    except OSError:  # not Linux
        return False
    return "amx_int8" in flags.split() and importlib.util.find_spec("openvino") is not None


def open_requests(path: Path, cores: int, batch_size: int) -> list[Run]:
    """Open one single-threaded inference request for each core.

    Args:
        path: the ONNX file.
        cores: the number of cores to use.
        batch_size: the largest N.

    Returns:
        functions from uint8 [N, S, S, 3] to logits, float32 [N, labels].

    Raises:
        Exception: the file cannot be loaded. OpenVINO raises many kinds of errors.
    """
    options = {
        # Without these two options OpenVINO skips the second thread of a core, and our threads would wait.
        "PERFORMANCE_HINT": "THROUGHPUT",
        "ENABLE_HYPER_THREADING": True,
        "NUM_STREAMS": cores,
        "INFERENCE_NUM_THREADS": cores,
        # Decoding threads use the same cores. The kernel schedules them better than fixed assignments do.
        "ENABLE_CPU_PINNING": False,
        # By default OpenVINO computes everything but integers in bfloat16, which is not faster.
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = _import_openvino().Core().compile_model(path, "CPU", options)
    return [partial(_infer, compiled.create_infer_request(), batch_size) for _ in range(cores)]


def _import_openvino() -> Any:
    """Import OpenVINO without its model converters, which report to Google Analytics and write to ~/intel."""
    previous = sys.modules.setdefault(_CONVERTERS, None)  # type: ignore[arg-type]  # OpenVINO expects this import error
    try:
        import openvino
    finally:
        if previous is None:
            del sys.modules[_CONVERTERS]
    return openvino


def _infer(request: Any, batch_size: int, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the logits of a batch, padded to 1, 2, 4, 8 … images or to a full batch.

    OpenVINO needs time and permanent memory for each new batch size.
    """
    number = len(batch)
    padded = max(number, min(1 << (number - 1).bit_length(), batch_size))
    if padded > number:
        batch = np.concatenate([batch, np.zeros((padded - number, *batch.shape[1:]), dtype=np.uint8)])
    logits: NDArray[np.float32] = request.infer({INPUT: batch}, share_inputs=True)[OUTPUT]
    return logits[:number]


def error_message(error: Exception) -> str:
    """Return the message of an error in one line, without the source locations that OpenVINO puts first."""
    lines = [line.strip() for line in str(error).splitlines()]
    kept = [line for line in lines if line and not line.startswith(("Exception from ", "Check '"))]
    return " ".join(kept)[:300] or type(error).__name__


def outputs_agree(openvino: Run, onnxruntime: Run, size: int, batch_size: int) -> bool:
    """Return whether OpenVINO and ONNX Runtime agree on a few images of coloured patches.

    OpenVINO does not compute every graph as intended. It prepares separately for each batch size, so the test uses a
    full batch.

    Args:
        openvino: function from uint8 [N, S, S, 3] to logits, float32 [N, labels].
        onnxruntime: the same with ONNX Runtime.
        size: S, the side of the input in pixels.
        batch_size: the number of images in a full batch.
    """
    colours = np.random.default_rng(0).integers(0, 256, (_TEST_IMAGES, _PATCHES, _PATCHES, 3), dtype=np.uint8)
    side = -(-size // _PATCHES)
    images = np.ascontiguousarray(colours.repeat(side, axis=1).repeat(side, axis=2)[:, :size, :size])
    expected = onnxruntime(images)
    logits = openvino(np.resize(images, (batch_size, *images.shape[1:])))  # the same images repeat
    expected = np.resize(expected, (batch_size, expected.shape[1]))
    return bool(np.abs(logits - expected).mean() <= _MAX_DIFFERENCE * expected.std())
