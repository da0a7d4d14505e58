"""A count model on a device: load it, count a batch. All it knows of the model it reads from the file."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

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

    import onnxruntime as ort
    from numpy.typing import NDArray

    from reconcile.inference.model import CountModel, ModelCard

    Run = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


CPU_BATCH, GPU_BATCH = 32, 128
"""Images at a time. On a CPU more is not faster; a GPU is only busy with many."""


class CountPredictor:
    """A loaded count model, to be used by as many threads as it has workers.

    GPU batches are always of one shape, since both providers prepare themselves for each new one; they lie in pinned
    memory. That part was written from onnxruntime's documentation and tried out with a session of the CPU; it was not
    run on a GPU.

    Args:
        model: what it counts with.
        provider: an execution provider of onnxruntime, or `matrix_tiles.OPENVINO`.
        runs: uint8 [N, S, S, 3] → logits, float32 [N, labels]; each for a thread of its own.
        batch_size: the most images that `count` takes at once.
    """

    def __init__(self, model: CountModel, provider: str, runs: list[Run], batch_size: int) -> None:
        card = model.card
        self.model, self.card, self.path, self.model_id = model, card, model.path, model.model_id
        self.provider, self.batch_size = provider, batch_size
        self._taught = None if card.soft_targets is None else np.array(card.soft_targets, dtype=np.float32)
        self._runs = runs
        self.workers = len(runs)
        """How many threads may call `count` at once, each with a number of its own."""

    @property
    def device(self) -> str:
        """What counts, in words."""
        if self.provider == openvino_cpu.OPENVINO:
            return f"CPU ({self.provider})"
        return self.provider.removesuffix("ExecutionProvider")

    def new_batch(self) -> NDArray[np.uint8]:
        """Memory for a batch, uint8 [batch_size, S, S, 3], to be used again and again; pinned where a GPU counts."""
        size = self.card.input_size
        shape = (self.batch_size, size, size, 3)
        return _pinned(shape) if self.provider in (CUDA, TENSORRT) else np.zeros(shape, dtype=np.uint8)

    def count(self, batch: NDArray[np.uint8], worker: int = 0) -> NDArray[np.float32]:
        """Calibrated probabilities of each count label.

        Args:
            batch: uint8 [N, S, S, 3], RGB, as `images.load_image` makes it; N up to `batch_size`.
            worker: 0 to `workers` - 1; one thread each.

        Returns:
            float32 [N, labels], rows summing to 1.
        """
        return calibrated(self._runs[worker](batch), self.card.temperature, self._taught)

    def close(self) -> None:
        """Let go of its sessions, which take 50 MB each on a CPU and more once they have counted. It counts no more."""
        self._runs.clear()


def _pinned(shape: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    batch = np.zeros(shape, dtype=np.uint8)
    pin(load_driver(), batch)
    return batch


def _run(session: ort.InferenceSession, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    logits: NDArray[np.float32] = session.run([OUTPUT], {INPUT: batch})[0]
    return logits


class IOBoundSession:
    """One thread's use of a session whose input and output stay where they are.

    Args:
        session: of any provider; other threads may use it at the same time.
        card: of its model.
        spare: uint8 [N, S, S, 3], for batches that are not full.
    """

    def __init__(self, session: ort.InferenceSession, card: ModelCard, spare: NDArray[np.uint8]) -> None:
        self._session, self._spare = session, spare
        self._logits = np.empty((len(spare), len(card.labels.names)), dtype=np.float32)
        self._binding = session.io_binding()
        self._binding.bind_output(OUTPUT, "cpu", 0, np.float32, self._logits.shape, self._logits.ctypes.data)

    def __call__(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits, float32 [n, labels], of uint8 [n, S, S, 3]; n up to N, and always N for the session."""
        number = len(batch)
        if number < len(self._spare):
            self._spare[:number] = batch
            batch = self._spare
        self._binding.bind_cpu_input(INPUT, batch)
        self._session.run_with_iobinding(self._binding)
        self._binding.synchronize_outputs()
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
        path: an ONNX file made by `reconcile export`; None for the shipped one that suits the device.
        device: auto, cpu, cuda or tensorrt; `auto` takes CUDA where it loads, and the CPU otherwise.
        warn: called with one line where `auto` finds a GPU and cannot use it, or a CPU could count faster than it does.
        batch_size: images at a time; None for what suits the device.
        cores: how many a CPU may keep busy; None for all that this process may use.

    Raises:
        ReconcileError: no such file, not one of ours, or a device that was asked for and does not load.
    """
    if path is not None and not path.is_file():  # said before a device is looked for
        raise ReconcileError(f"there is no model file {path}")
    chosen = choose_device(device, warn)
    if chosen != "cpu":
        try:
            return _on_gpus(read_model(path or default_model(chosen)), chosen, batch_size or GPU_BATCH)
        except ReconcileError as error:  # its libraries load, but the driver is too old, say, or shows no GPU
            if device != "auto":
                raise
            warn(f"counting on the CPU: there is a GPU, but it cannot be used: {error}")
    return _on_cpu(read_model(path or default_model("cpu")), cores or available_cores(), batch_size or CPU_BATCH, warn)


def _on_gpus(model: CountModel, device: str, batch_size: int) -> CountPredictor:
    """A GPU session is used by two threads: while one's batch is computed, the other's is on its way there."""
    shape = (batch_size, model.card.input_size, model.card.input_size, 3)
    sessions = open_gpu_sessions(model.path, model.model_id, device, shape)
    runs: list[Run] = [IOBoundSession(session, model.card, _pinned(shape)) for session in sessions for _ in range(2)]
    return _tried_out(CountPredictor(model, sessions[0].get_providers()[0], runs, batch_size))


def _on_cpu(model: CountModel, cores: int, batch_size: int, warn: Callable[[str], None]) -> CountPredictor:
    """Each session is used by one thread."""
    [first] = open_cpu_sessions(model.path, 1)
    plain = _tried_out(CountPredictor(model, CPU, [partial(_run, first)], batch_size))
    if openvino_cpu.is_available():
        try:
            tiled = openvino_cpu.open_requests(model.path, cores, batch_size)
            if openvino_cpu.outputs_agree(tiled[0], partial(_run, first), model.card.input_size, batch_size):
                return _tried_out(CountPredictor(model, openvino_cpu.OPENVINO, tiled, batch_size))
            why = "it counts this model otherwise"
        except Exception as error:  # whatever it is, onnxruntime can count
            why = openvino_cpu.reason(error)
        warn(f"counting by onnxruntime and not by OpenVINO, which is faster on this CPU: {why}")
    if cores == 1:
        return plain
    runs: list[Run] = [partial(_run, session) for session in [first, *open_cpu_sessions(model.path, cores - 1)]]
    return _tried_out(CountPredictor(model, CPU, runs, batch_size))


def _tried_out(counter: CountPredictor) -> CountPredictor:
    """Count a blank image: a file whose graph and card disagree should not get as far as the first photo.

    Every worker does, so that a GPU has prepared itself before the clock of a run starts.
    """
    size, labels = counter.card.input_size, len(counter.card.labels.names)
    for worker in range(counter.workers):
        try:
            shares = counter.count(np.zeros((1, size, size, 3), dtype=np.uint8), worker)
        except Exception as error:  # each library raises its own for each kind of trouble
            raise ReconcileError(f"{counter.path} does not count: {first_line(error)}") from None
        if shares.shape != (1, labels) or not np.isfinite(shares).all():
            raise ReconcileError(f"{counter.path} gives {shares.shape[-1]} numbers an image for its {labels} labels")
    return counter
