"""onnxruntime sessions over one model file, set up for the device that they run on."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import onnxruntime as ort

from reconcile.errors import ReconcileError, first_line
from reconcile.inference.devices import CPU, CUDA, TENSORRT
from reconcile.inference.pinned_memory import gpu_count, load_driver

INPUT, OUTPUT = "images", "logits"
"""What `reconcile export` calls the model's input and output."""
_SILENT = 4  # onnxruntime's severity "fatal": what fails here is told in our own words
Provider = str | tuple[str, dict[str, str]]


def open_cpu_sessions(path: Path, number: int) -> list[ort.InferenceSession]:
    """Single-threaded sessions, one for each core: two of one thread each count faster than one of two.

    Args:
        path: the ONNX file.
        number: of sessions.

    Raises:
        ReconcileError: it cannot be loaded.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return [_open(path, options, [CPU]) for _ in range(number)]


def open_gpu_sessions(
    path: Path, model_id: str, device: str, shape: tuple[int, int, int, int]
) -> list[ort.InferenceSession]:
    """One session for each GPU.

    Args:
        path: the ONNX file.
        model_id: names its weights.
        device: cuda or tensorrt.
        shape: of every batch, [N, S, S, 3].

    Raises:
        ReconcileError: it cannot be loaded, or not onto that device.
    """
    gpus = max(1, gpu_count(load_driver()))
    sessions = [
        _open(path, ort.SessionOptions(), gpu_providers(device, gpu, shape, engine_folder(model_id)))
        for gpu in range(gpus)
    ]
    wanted = {"cuda": CUDA, "tensorrt": TENSORRT}[device]
    for session in sessions:
        if session.get_providers()[0] != wanted:
            raise ReconcileError(f"--device {device}: onnxruntime fell back to {session.get_providers()[0]}")
    return sessions


def _open(path: Path, options: ort.SessionOptions, providers: list[Provider]) -> ort.InferenceSession:
    options.log_severity_level = _SILENT
    try:
        # Without its fallback it says why a GPU cannot be used, instead of printing that and taking the CPU.
        return ort.InferenceSession(str(path), options, providers=providers, enable_fallback=False)
    except Exception as error:  # onnxruntime raises a class of its own for each kind of trouble
        if "INVALID_PROTOBUF" in str(error):
            raise ReconcileError(f"{path} is no ONNX file, or is damaged") from None
        raise ReconcileError(f"{path} cannot be loaded: {first_line(error)}") from None


def read_metadata(path: Path) -> dict[str, str]:
    """What the file says of itself; asked on the CPU, since a GPU's options already depend on it.

    Raises:
        ReconcileError: it is no ONNX file.
    """
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    found: dict[str, str] = _open(path, options, [CPU]).get_modelmeta().custom_metadata_map
    return found


def gpu_providers(device: str, gpu: int, shape: tuple[int, int, int, int], engines: Path) -> list[Provider]:
    """Execution providers with their options, the wanted one first.

    Written from onnxruntime's documentation of its CUDA and TensorRT execution providers; not run where this was
    written, for want of a GPU.

    Args:
        device: cuda or tensorrt.
        gpu: its number.
        shape: of every batch; both providers prepare themselves for a shape, so it never changes.
        engines: where TensorRT keeps the engines that it takes minutes to build.
    """
    cuda = {
        "device_id": str(gpu),
        # Tensor cores want channels last, and fp16 convolutions run on them.
        "prefer_nhwc": "1",
        # Tries every algorithm once; worth it for thousands of batches of one shape.
        "cudnn_conv_algo_search": "EXHAUSTIVE",
        "cudnn_conv_use_max_workspace": "1",
        "arena_extend_strategy": "kSameAsRequested",
    }
    chosen: list[Provider] = [(CUDA, cuda), CPU]
    if device == "tensorrt":
        only = f"{INPUT}:{'x'.join(str(side) for side in shape)}"
        options = {
            "device_id": str(gpu),
            "trt_fp16_enable": "1",
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(engines),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(engines),
            "trt_profile_min_shapes": only,
            "trt_profile_opt_shapes": only,
            "trt_profile_max_shapes": only,
        }
        chosen.insert(0, (TENSORRT, options))
    return chosen


def engine_folder(model_id: str) -> Path:
    """Where TensorRT's engines of a model are kept: ~/.cache/reconcile, or a temporary folder where that is read-only.

    A folder for each model: TensorRT tells engines apart by the graph, and would take those of other weights.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    temporary = Path(tempfile.gettempdir(), "reconcile-tensorrt")
    for parent in (home / "reconcile/tensorrt", temporary):
        folder = parent / model_id
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    return Path(tempfile.mkdtemp(prefix="reconcile-tensorrt-"))
