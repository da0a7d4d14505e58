"""A count model on a device: load it, count a batch. All it knows of the model it reads from the file."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from reconcile.calibration import calibrated
from reconcile.cuda_driver import load_driver, pin
from reconcile.devices import CPU, choose_device
from reconcile.errors import ReconcileError
from reconcile.model import default_model, read_model
from reconcile.sessions import INPUT, OUTPUT, open_sessions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import onnxruntime as ort
    from numpy.typing import NDArray

    from reconcile.model import CountModel, ModelCard

CPU_BATCH, GPU_BATCH = 32, 128
"""Images at a time. On a CPU more is not faster; a GPU is only busy with many."""


class Counter:
    """A loaded count model, to be used by as many threads as it has workers.

    A CPU session is used by one thread. A GPU session is used by two: while one's batch is computed, the other's is on
    its way there. GPU batches are always of one shape, since both providers prepare themselves for each new one; they
    lie in pinned memory and are bound to the session (I/O binding). That part was written from onnxruntime's
    documentation and tried out with a session of the CPU; it was not run on a GPU.
    """

    def __init__(self, model: CountModel, sessions: list[ort.InferenceSession], batch_size: int) -> None:
        card = model.card
        self.model, self.card, self.path, self.model_id = model, card, model.path, model.model_id
        self.batch_size = batch_size
        """The most images that `count` takes at once."""
        self.provider: str = sessions[0].get_providers()[0]
        self._taught = None if card.taught is None else np.array(card.taught, dtype=np.float32)
        self._runs: list[Callable[[NDArray[np.uint8]], NDArray[np.float32]]]
        if self.provider == CPU:
            self._runs = [partial(_run, session) for session in sessions]
        else:
            self._runs = [BoundSession(session, card, self.new_batch()) for session in sessions for _ in range(2)]
        self.workers = len(self._runs)
        """How many threads may call `count` at once, each with a number of its own."""

    def new_batch(self) -> NDArray[np.uint8]:
        """Memory for a batch, uint8 [batch_size, S, S, 3], to be used again and again; pinned where a GPU counts."""
        size = self.card.input_size
        batch = np.zeros((self.batch_size, size, size, 3), dtype=np.uint8)
        if self.provider != CPU:
            pin(load_driver(), batch)
        return batch

    def count(self, batch: NDArray[np.uint8], worker: int = 0) -> NDArray[np.float32]:
        """Calibrated probabilities of each count label.

        Args:
            batch: uint8 [N, S, S, 3], RGB, as `images.load_image` makes it; N up to `batch_size`.
            worker: 0 to `workers` - 1; one thread each.

        Returns:
            float32 [N, labels], rows summing to 1.
        """
        return calibrated(self._runs[worker](batch), self.card.temperature, self._taught)


def _run(session: ort.InferenceSession, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    logits: NDArray[np.float32] = session.run([OUTPUT], {INPUT: batch})[0]
    return logits


class BoundSession:
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


def load_counter(
    path: Path | None,
    device: str,
    warn: Callable[[str], None],
    batch_size: int | None = None,
    cores: int | None = None,
) -> Counter:
    """Load a model onto a device.

    Args:
        path: an ONNX file made by `reconcile export`; None for the shipped one that suits the device.
        device: auto, cpu, cuda or tensorrt; `auto` takes CUDA where it loads, and the CPU otherwise.
        warn: called with one line where `auto` finds a GPU and cannot use it.
        batch_size: images at a time; None for what suits the device.
        cores: how many a CPU may keep busy; None for all that this process may use.

    Raises:
        ReconcileError: no such file, not one of ours, or a device that was asked for and does not load.
    """
    if path is not None and not path.is_file():  # said before a device is looked for
        raise ReconcileError(f"there is no model file {path}")
    chosen = choose_device(device, warn)
    if device == "auto" and chosen != "cpu":
        try:
            return _load(path, chosen, batch_size, cores)
        except ReconcileError as error:  # its libraries load, but the driver is too old, say, or shows no GPU
            warn(f"counting on the CPU: there is a GPU, but it cannot be used: {error}")
            chosen = "cpu"
    return _load(path, chosen, batch_size, cores)


def _load(path: Path | None, device: str, batch_size: int | None, cores: int | None) -> Counter:
    model = read_model(path or default_model(device))
    batch_size = batch_size or (CPU_BATCH if device == "cpu" else GPU_BATCH)
    shape = (batch_size, model.card.input_size, model.card.input_size, 3)
    counter = Counter(model, open_sessions(model.path, model.model_id, device, shape, cores), batch_size)
    _try_out(counter)
    return counter


def _try_out(counter: Counter) -> None:
    """Count a blank image: a file whose graph and card disagree should not get as far as the first photo.

    Every worker does, so that a GPU has prepared itself before the clock of a run starts.
    """
    size, labels = counter.card.input_size, len(counter.card.labels.names)
    for worker in range(counter.workers):
        try:
            shares = counter.count(np.zeros((1, size, size, 3), dtype=np.uint8), worker)
        except Exception as error:  # onnxruntime raises a class of its own for each kind of trouble
            raise ReconcileError(f"{counter.path} does not count: {str(error).splitlines()[0][:300]}") from None
        if shares.shape != (1, labels) or not np.isfinite(shares).all():
            raise ReconcileError(f"{counter.path} gives {shares.shape[-1]} numbers an image for its {labels} labels")
