"""The ONNX count model: choose a provider, count a batch. All it knows of the model it reads from the file."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort

from reconcile.calibration import calibrated
from reconcile.errors import ReconcileError
from reconcile.images import PREPROCESSING
from reconcile.labels import CountLabels
from reconcile.precision import Precision
from reconcile.resources import resource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

METADATA_PREFIX = "reconcile."
VERSION_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}")
"""A model's version becomes the name of a folder."""
_CPU, _CUDA, _TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
_SILENT = 4  # onnxruntime's severity "fatal": what fails here is told in our own words


@dataclass(frozen=True)
class ModelCard:
    """What a count model says of itself in its ONNX metadata."""

    labels: CountLabels
    input_size: int
    """S of the input uint8 [N, S, S, 3]."""
    temperature: float
    """Logits are divided by it before the softmax (Guo et al. 2017, On Calibration of Modern Neural Networks)."""
    class_prior: tuple[float, ...]
    """Share of each label in the training photos."""
    version: str
    data_fingerprint: str
    preprocessing: str
    taught: tuple[tuple[float, ...], ...] | None = None
    """What the network was taught to say of each label, labels by labels; see `calibration.undo_teaching`. None where
    it was taught the labels as they are, or by a version that did not write it down."""

    def as_metadata(self) -> dict[str, str]:
        """The ONNX metadata entries, each value JSON."""
        values: dict[str, Any] = {
            "labels": self.labels.names,
            "input_size": self.input_size,
            "temperature": self.temperature,
            "class_prior": self.class_prior,
            "version": self.version,
            "data_fingerprint": self.data_fingerprint,
            "preprocessing": self.preprocessing,
            "taught": self.taught,
        }
        return {METADATA_PREFIX + name: json.dumps(value) for name, value in values.items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> ModelCard:
        """Read the entries back.

        Raises:
            KeyError, ValueError, TypeError: an entry is missing or malformed.
        """
        entries = {METADATA_PREFIX + "taught": "null", **metadata}
        found = {name: json.loads(entries[METADATA_PREFIX + name]) for name in cls.__dataclass_fields__}
        if not 0 < found["temperature"] < float("inf"):
            raise ValueError("the temperature is no positive number")
        if not VERSION_FORM.fullmatch(found["version"]):
            raise ValueError("the version becomes the name of a folder")
        return cls(
            labels=CountLabels(tuple(found["labels"])),
            input_size=int(found["input_size"]),
            temperature=float(found["temperature"]),
            class_prior=tuple(float(share) for share in found["class_prior"]),
            version=str(found["version"]),
            data_fingerprint=str(found["data_fingerprint"]),
            preprocessing=str(found["preprocessing"]),
            taught=_shares(found["taught"], len(found["labels"])),
        )


def _shares(rows: Any, labels: int) -> tuple[tuple[float, ...], ...] | None:
    if rows is None:
        return None
    shares = tuple(tuple(float(share) for share in row) for row in rows)
    if len(shares) != labels or any(len(row) != labels or abs(sum(row) - 1) > 0.01 for row in shares):
        raise ValueError("what was taught is no share for each pair of labels")
    return shares


class Counter:
    """A loaded count model.

    On the CPU it holds one single-threaded session for each core, to be used by as many threads: two of one thread
    each count faster than one of two. The GPU sessions (`cuda`, `tensorrt`) are written from onnxruntime's
    documentation and were not run where this was written: there was no GPU.
    """

    def __init__(self, path: Path, sessions: list[ort.InferenceSession], card: ModelCard) -> None:
        self.card = card
        self.path = path
        self.model_id = f"{card.version}-{_digest(path)}"
        """Names these very weights: counts are kept and found again under it."""
        self.workers = len(sessions)
        """How many threads may call `count` at once, each with a number of its own."""
        self.provider: str = sessions[0].get_providers()[0]
        self._sessions = sessions
        self._input = sessions[0].get_inputs()[0].name
        self._taught = None if card.taught is None else np.array(card.taught, dtype=np.float32)

    def count(self, batch: NDArray[np.uint8], worker: int = 0) -> NDArray[np.float32]:
        """Calibrated probabilities of each count label.

        Args:
            batch: uint8 [N, S, S, 3], RGB, as `images.load_image` makes it.
            worker: 0 to `workers` - 1; one thread each.

        Returns:
            float32 [N, labels], rows summing to 1.
        """
        logits = self._sessions[worker].run(None, {self._input: batch})[0]
        return calibrated(logits, self.card.temperature, self._taught)


def default_model(device: str) -> Path:
    """The shipped model that suits a device best: int8 on a CPU, fp16 on a GPU.

    Raises:
        ReconcileError: none is shipped with this installation.
    """
    precision = Precision.INT8 if device == "cpu" else Precision.FP16
    path = resource("models", f"bin-counter-{precision}.onnx")
    if not path.is_file():
        raise ReconcileError(f"there is no {path}; name a model with --model")
    return path


def load_counter(path: Path | None, device: str, warn: Callable[[str], None]) -> Counter:
    """Load a model onto a device.

    Args:
        path: an ONNX file made by `reconcile export`; None for the shipped one that suits the device.
        device: auto, cpu, cuda or tensorrt; `auto` takes CUDA where it loads, and the CPU otherwise.
        warn: called with one line where `auto` finds a GPU and cannot use it.

    Raises:
        ReconcileError: no such file, not one of ours, or a device that was asked for and does not load.
    """
    if path is not None and not path.is_file():
        raise ReconcileError(f"there is no model file {path}")
    device = choose_device(device, warn)
    path = path or default_model(device)
    sessions = _sessions(path, device)
    try:
        card = ModelCard.from_metadata(sessions[0].get_modelmeta().custom_metadata_map)
    except (KeyError, ValueError, TypeError, AttributeError):
        raise ReconcileError(f"{path} is no count model: it lacks what `reconcile export` writes into it") from None
    if card.preprocessing != PREPROCESSING:
        raise ReconcileError(
            f"{path} wants its images prepared by {card.preprocessing!r}; this reconcile has {PREPROCESSING!r}"
        )
    counter = Counter(path, sessions, card)
    _try_out(counter)
    return counter


def _try_out(counter: Counter) -> None:
    """Count a blank image: a file whose graph and card disagree should not get as far as the first photo."""
    size, labels = counter.card.input_size, len(counter.card.labels.names)
    try:
        shares = counter.count(np.zeros((1, size, size, 3), dtype=np.uint8))
    except Exception as error:  # onnxruntime raises a class of its own for each kind of trouble
        raise ReconcileError(f"{counter.path} does not count: {str(error).splitlines()[0][:300]}") from None
    if shares.shape != (1, labels) or not np.isfinite(shares).all():
        raise ReconcileError(f"{counter.path} gives {shares.shape[-1]} numbers an image for its {labels} labels")


def choose_device(asked: str, warn: Callable[[str], None]) -> str:
    """Turn `auto` into cpu or cuda, and make sure that a GPU that was asked for can be used.

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
    provider = _TENSORRT if device == "tensorrt" else _CUDA
    if provider not in ort.get_available_providers():
        return f"this onnxruntime has no {provider}; it needs onnxruntime-gpu"
    if sys.platform != "linux":
        return None
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


def _sessions(path: Path, device: str) -> list[ort.InferenceSession]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    options = ort.SessionOptions()
    options.log_severity_level = _SILENT
    providers: list[str] = [_CPU]
    if device == "cpu":
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
    else:
        providers = [_TENSORRT, _CUDA, _CPU] if device == "tensorrt" else [_CUDA, _CPU]
    number = cores if device == "cpu" else 1
    try:
        sessions = [ort.InferenceSession(str(path), options, providers=providers) for _ in range(number)]
    except Exception as error:  # onnxruntime raises a class of its own for each kind of trouble
        raise ReconcileError(f"{path} cannot be loaded: {str(error).splitlines()[0][:300]}") from None
    if sessions[0].get_providers()[0] != providers[0]:
        raise ReconcileError(f"--device {device}: onnxruntime fell back to {sessions[0].get_providers()[0]}")
    return sessions


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]
