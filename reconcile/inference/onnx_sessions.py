"""ONNX Runtime sessions for CPUs and GPUs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import onnxruntime as ort

from reconcile.errors import ReconcileError, first_line
from reconcile.inference.devices import CPU, CUDA, TENSORRT
from reconcile.inference.pinned_memory import gpu_count, load_driver

INPUT, OUTPUT = "images", "logits"
"""The names of the model's input and output, as `reconcile export` writes them."""
_BATCH = "N"
"""The name of the first dimension of input and output."""
_LOG_ONLY_FATAL = 4  # reconcile reports all other failures itself
Provider = str | tuple[str, dict[str, str]]


def open_cpu_sessions(path: Path, number: int) -> list[ort.InferenceSession]:
    """Open single-threaded sessions. Two sessions of one thread each count faster than one session of two threads.

    Args:
        path: the ONNX file.
        number: the number of sessions.

    Raises:
        ReconcileError: the file cannot be loaded.
    """
    return [_open(path, _one_thread(), [CPU]) for _ in range(number)]


def open_gpu_sessions(
    path: Path, model_id: str, device: str, shape: tuple[int, int, int, int]
) -> list[ort.InferenceSession]:
    """Open one session for each GPU.

    Args:
        path: the ONNX file.
        model_id: the id of the model. It names the folder of its TensorRT engines.
        device: cuda or tensorrt.
        shape: the shape of every batch, [N, S, S, 3].

    Raises:
        ReconcileError: the file cannot be loaded, or not onto this device.
    """
    gpus = max(1, gpu_count(load_driver()))
    options = _one_thread()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_free_dimension_override_by_name(_BATCH, shape[0])
    sessions = [_open(path, options, gpu_providers(device, gpu, shape, engine_folder(model_id))) for gpu in range(gpus)]
    requested = {"cuda": CUDA, "tensorrt": TENSORRT}[device]
    for session in sessions:
        if session.get_providers()[0] != requested:
            raise ReconcileError(f"--device {device}: ONNX Runtime used {session.get_providers()[0]} instead")
    return sessions


def _one_thread() -> ort.SessionOptions:
    """Return options for a session that computes in the calling thread.

    A pool of threads would spin while it waits for work, and take the cores from the threads that decode images.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return options


def _open(path: Path, options: ort.SessionOptions, providers: list[Provider]) -> ort.InferenceSession:
    options.log_severity_level = _LOG_ONLY_FATAL
    try:
        # With its fallback, ONNX Runtime would print why a GPU cannot be used, and count on the CPU.
        return ort.InferenceSession(str(path), options, providers=providers, enable_fallback=False)
    except Exception as error:  # ONNX Runtime has one class for each kind of failure
        if "INVALID_PROTOBUF" in str(error):
            raise ReconcileError(f"{path} is not an ONNX file, or it is damaged") from None
        raise ReconcileError(f"{path} cannot be loaded: {first_line(error)}") from None


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of an ONNX file. It is read on the CPU, because the options of a GPU depend on it.

    Raises:
        ReconcileError: the file is not an ONNX file.
    """
    options = _one_thread()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    metadata: dict[str, str] = _open(path, options, [CPU]).get_modelmeta().custom_metadata_map
    return metadata


def gpu_providers(device: str, gpu: int, shape: tuple[int, int, int, int], engines: Path) -> list[Provider]:
    """Return execution providers with their options, the requested one first.

    This follows ONNX Runtime's documentation of its CUDA and TensorRT execution providers. Not yet run on a GPU.

    Args:
        device: cuda or tensorrt.
        gpu: the number of the GPU.
        shape: the shape of every batch. Both providers prepare for one shape, so it never changes.
        engines: the folder in which TensorRT keeps its engines, which take minutes to build.
    """
    cuda = {
        "device_id": str(gpu),
        # Tensor cores need channels last, and fp16 convolutions run on them.
        "prefer_nhwc": "1",
        # CUDA tries every algorithm once, which pays off over thousands of batches of one shape.
        "cudnn_conv_algo_search": "EXHAUSTIVE",
        "cudnn_conv_use_max_workspace": "1",
        "arena_extend_strategy": "kSameAsRequested",
    }
    providers: list[Provider] = [(CUDA, cuda), CPU]
    if device == "tensorrt":
        profile = f"{INPUT}:{'x'.join(str(side) for side in shape)}"
        options = {
            "device_id": str(gpu),
            # TensorRT's options take True and False only, unlike CUDA's.
            "trt_fp16_enable": "True",
            "trt_engine_cache_enable": "True",
            "trt_engine_cache_path": str(engines),
            "trt_timing_cache_enable": "True",
            "trt_timing_cache_path": str(engines),
            "trt_profile_min_shapes": profile,
            "trt_profile_opt_shapes": profile,
            "trt_profile_max_shapes": profile,
        }
        providers.insert(0, (TENSORRT, options))
    return providers


def engine_folder(model_id: str) -> Path:
    """Return the folder for TensorRT's engines of one model, and create it.

    The folder is in ~/.cache/reconcile, or temporary if that is read-only. Each model has its own, because TensorRT
    identifies engines by the graph and would use those of other weights.

    Args:
        model_id: the id of the model.
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
