"""Load a count model onto a device and count batches."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort

from reconcile.concurrency.cpu import available_cores
from reconcile.errors import ReconcileError, first_line
from reconcile.inference import openvino_cpu
from reconcile.inference.calibration import calibrated
from reconcile.inference.devices import CPU, CUDA, TENSORRT, choose_device
from reconcile.inference.model import default_model, read_model
from reconcile.inference.onnx_sessions import INPUT, OUTPUT, open_cpu_sessions, open_gpu_sessions
from reconcile.inference.pinned_memory import load_driver, pin

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from reconcile.inference.model import CountModel, ModelCard

    Run = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


_NOT_PINNED = (
    "batches are copied to the GPU more slowly, because the driver cannot pin their memory; free some memory, or "
    "expect this under Windows"
)
CPU_BATCH, GPU_BATCH = 32, 128
"""Images per batch. Larger batches are not faster on a CPU, but a GPU needs them to be busy."""


class CountPredictor:
    """A loaded count model. One thread per worker may use it at the same time.

    GPU batches always have one shape, because both GPU providers prepare for each new shape. They are in pinned memory.
    The GPU part has not been run on a GPU yet. Tests run it with a CPU session.

    Args:
        model: the model's file and metadata.
        provider: an execution provider of ONNX Runtime, or `openvino_cpu.OPENVINO`.
        runs: functions from uint8 [N, S, S, 3] to logits, float32 [N, labels]. Each is for one thread.
        batch_size: the largest number of images that `count` accepts.
    """

    def __init__(self, model: CountModel, provider: str, runs: list[Run], batch_size: int) -> None:
        card = model.card
        self.pins_memory: bool | None = None
        """Whether batches are in pinned memory. None on a CPU, which needs none."""
        self.model, self.card, self.path, self.model_id = model, card, model.path, model.model_id
        self.provider, self.batch_size = provider, batch_size
        self._soft_targets = None if card.soft_targets is None else np.array(card.soft_targets, dtype=np.float32)
        self._runs = runs
        self.workers = len(runs)
        """The number of threads that may call `count` at the same time, each with its own worker number."""

    @property
    def device(self) -> str:
        """The name of the device in messages, such as `CPU` or `CUDA`."""
        if self.provider == openvino_cpu.OPENVINO:
            return f"CPU ({self.provider})"
        return self.provider.removesuffix("ExecutionProvider")

    def new_batch(self) -> NDArray[np.uint8]:
        """Allocate a batch, uint8 [batch_size, S, S, 3], to be reused. On a GPU it is pinned."""
        size = self.card.input_size
        shape = (self.batch_size, size, size, 3)
        batch = np.zeros(shape, dtype=np.uint8)
        if self.provider in (CUDA, TENSORRT) and not pin(load_driver(), batch):
            self.pins_memory = False
        return batch

    def count(self, batch: NDArray[np.uint8], worker: int = 0) -> NDArray[np.float32]:
        """Return the calibrated probability of each count label.

        Args:
            batch: images as `images.load_image` writes them, RGB, uint8 [N, S, S, 3], with N at most `batch_size`.
            worker: the worker number of the calling thread, 0 to `workers` - 1.

        Returns:
            float32 [N, labels], rows summing to 1.
        """
        return calibrated(self._runs[worker](batch), self.card.temperature, self._soft_targets)

    def close(self) -> None:
        """Release the sessions and their memory. The predictor cannot count afterwards."""
        self._runs.clear()


def _run(session: ort.InferenceSession, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    logits: NDArray[np.float32] = session.run([OUTPUT], {INPUT: batch})[0]
    return logits


class IOBoundSession:
    """One thread's use of a session, with input and output bound to fixed memory.

    Each batch is copied into the same memory of the device. `bind_cpu_input` would allocate new memory for each batch.

    CUDA graphs are not used, because ONNX Runtime supports them only if a single thread uses the GPU.

    Args:
        session: a session of any provider. Other threads may use it at the same time.
        card: the metadata of its model.
        spare: memory for batches that are not full, uint8 [N, S, S, 3].
        device: cuda or cpu, the device of the input.
        number: the number of the GPU.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        card: ModelCard,
        spare: NDArray[np.uint8],
        device: str = "cpu",
        number: int = 0,
    ) -> None:
        self._session, self._spare = session, spare
        self._logits = np.empty((len(spare), len(card.labels.names)), dtype=np.float32)
        self._input = ort.OrtValue.ortvalue_from_shape_and_type(spare.shape, np.uint8, device, number)
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_input(INPUT, self._input)
        self._binding.bind_output(OUTPUT, "cpu", 0, np.float32, self._logits.shape, self._logits.ctypes.data)

    def __call__(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the logits of a batch. The session always computes N images.

        Args:
            batch: uint8 [n, S, S, 3], with n at most N.

        Returns:
            float32 [n, labels].
        """
        number = len(batch)
        if number < len(self._spare):
            self._spare[:number] = batch
            batch = self._spare
        self._input.update_inplace(batch)
        # The call returns when the output is on the CPU. `synchronize_outputs` would also wait for the other thread.
        self._session.run_with_iobinding(self._binding)
        return self._logits[:number].copy()


def load_predictor(
    path: Path | None,
    device: str,
    warn: Callable[[str], None],
    batch_size: int | None = None,
    cores: int | None = None,
) -> CountPredictor:
    """Load a model onto a device.

    Args:
        path: an ONNX file that `reconcile export` wrote; None for the shipped file that suits the device.
        device: auto, cpu, cuda or tensorrt. `auto` means CUDA if it loads, else the CPU.
        warn: called with one line if `auto` finds a GPU that it cannot use, or if a CPU could count faster.
        batch_size: images per batch; None for `CPU_BATCH` or `GPU_BATCH`.
        cores: the number of CPU cores to use; None for all that this process may use.

    Raises:
        ReconcileError: the file does not exist or is not a count model, or the requested device does not load.
    """
    if path is not None and not path.is_file():  # report it before looking for a device
        raise ReconcileError(f"there is no model file {path}")
    chosen = choose_device(device, warn)
    if chosen != "cpu":
        try:
            return _on_gpus(read_model(path or default_model(chosen)), chosen, batch_size or GPU_BATCH, warn)
        except ReconcileError as error:  # the libraries load, but the driver may be too old
            if device != "auto":
                raise
            warn(f"counting on the CPU, because the GPU cannot be used: {error}")
    return _on_cpu(read_model(path or default_model("cpu")), cores or available_cores(), batch_size or CPU_BATCH, warn)


def _on_gpus(model: CountModel, device: str, batch_size: int, warn: Callable[[str], None]) -> CountPredictor:
    """Load a model onto every GPU. Two threads use one session: one copies while the other computes."""
    shape = (batch_size, model.card.input_size, model.card.input_size, 3)
    sessions = open_gpu_sessions(model.path, model.model_id, device, shape)
    runs: list[Run] = []
    are_pinned = True
    for gpu, session in enumerate(sessions):
        for spare in [np.zeros(shape, dtype=np.uint8) for _ in range(2)]:
            are_pinned &= pin(load_driver(), spare)
            runs.append(IOBoundSession(session, model.card, spare, "cuda", gpu))
    predictor = _checked(CountPredictor(model, sessions[0].get_providers()[0], runs, batch_size))
    predictor.pins_memory = are_pinned
    if not are_pinned:
        warn(_NOT_PINNED)
    return predictor


def _on_cpu(model: CountModel, cores: int, batch_size: int, warn: Callable[[str], None]) -> CountPredictor:
    """Load a model onto the CPU, with one session or request per thread."""
    [first] = open_cpu_sessions(model.path, 1)
    single = _checked(CountPredictor(model, CPU, [partial(_run, first)], batch_size))
    if openvino_cpu.is_available():
        try:
            requests = openvino_cpu.open_requests(model.path, cores, batch_size)
            if openvino_cpu.outputs_agree(requests[0], partial(_run, first), model.card.input_size, batch_size):
                return _checked(CountPredictor(model, openvino_cpu.OPENVINO, requests, batch_size))
            reason = "OpenVINO computes other logits for this model"
        except Exception as error:  # after any error of OpenVINO, ONNX Runtime can count
            reason = openvino_cpu.error_message(error)
        warn(f"counting with ONNX Runtime, although OpenVINO would be faster on this CPU: {reason}")
    if cores == 1:
        return single
    runs: list[Run] = [partial(_run, session) for session in [first, *open_cpu_sessions(model.path, cores - 1)]]
    return _checked(CountPredictor(model, CPU, runs, batch_size))


def _checked(predictor: CountPredictor) -> CountPredictor:
    """Count a blank image with every worker, and return the predictor.

    A file whose graph contradicts its metadata fails here instead of at the first photo. A GPU prepares itself here,
    before a run is timed.

    Raises:
        ReconcileError: the model cannot count, or its output does not match its labels.
    """
    size, labels = predictor.card.input_size, len(predictor.card.labels.names)
    for worker in range(predictor.workers):
        try:
            probabilities = predictor.count(np.zeros((1, size, size, 3), dtype=np.uint8), worker)
        except Exception as error:  # each library has its own class for each kind of failure
            raise ReconcileError(f"{predictor.path} cannot count a blank image: {first_line(error)}") from None
        if probabilities.shape != (1, labels):
            numbers = probabilities.shape[-1]
            raise ReconcileError(f"{predictor.path} returns {numbers} numbers per image, but has {labels} labels")
        if not np.isfinite(probabilities).all():
            raise ReconcileError(f"{predictor.path} returns probabilities that are not finite numbers")
    return predictor
