"""The training loop and its resumable state."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from reconcile.concurrency import cancellation
from reconcile.errors import ReconcileError
from reconcile.training import checkpoint
from reconcile.training.augment import CROP_MARGIN
from reconcile.training.batches import Step, draw_batch, order_of_epoch
from reconcile.training.dataset import Arrays, TrainingData, load_arrays
from reconcile.training.ema import averaged_model
from reconcile.training.metrics import EpochMetrics, Metrics
from reconcile.training.network import CountNetwork, predict_logits
from reconcile.training.temperature import fit_temperature, log_loss
from reconcile.training.warm_start import START_IMAGES, start_from

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from reconcile.logs import Advance, RunLog
    from reconcile.training.distributed import Distributed
    from reconcile.training.recipe import Recipe, Stage


_MIN_CYCLE = 8
"""The minimum number of steps in a one-cycle schedule. With fewer steps, torch divides by zero."""


class Diverged(ReconcileError):
    """The loss is not a finite number."""


@dataclass
class Progress:
    """The position of a training. The fields are stored in the checkpoint."""

    stage: int = 0
    """The number of the current stage, from 0."""
    epoch: int = 0
    """The number of the current epoch in its stage, from 0."""
    step: int = 0
    """The number of finished steps in this epoch."""
    loss: float = 0.0
    """The sum of the losses of these steps."""
    seconds: float = 0.0
    """The training time of this epoch so far, without interruptions."""
    best: float = math.inf
    """The mean −ln P(true label) of the held-out photos with the best checkpoint, in nats."""


class Trainer:
    """A training and its state.

    Args:
        recipe: the recipe of the training.
        out: the folder for checkpoints and metrics.
        cache: the folder for decoded photos.
        process: this process of the training.
        data_fingerprint: the fingerprint of the photos, which is stored in checkpoints.
    """

    def __init__(self, recipe: Recipe, out: Path, cache: Path, process: Distributed, data_fingerprint: str) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.process, self.cache = recipe, process, cache
        self.data_fingerprint = data_fingerprint
        self.labels = recipe.count_labels
        self.last, self.best = out / checkpoint.LAST, out / "best.pt"
        self.network = CountNetwork(len(self.labels.names)).to(process.device).to(memory_format=torch.channels_last)
        self.module: nn.Module = self.network
        """The network, or its wrapper that averages gradients over several processes."""
        if process.processes > 1:
            self.module = DistributedDataParallel(self.network)
        self.average = averaged_model(self.network, recipe.ema_decay)
        self.autocast = process.autocast
        self.scaler = torch.amp.GradScaler(process.device.type, enabled=process.autocast == torch.float16)
        self.progress = Progress()
        self.metrics = Metrics(out, recipe.version)
        self._saved: dict[str, Any] | None = None

    def begin(self, start: str | None, data: TrainingData, log: RunLog) -> None:
        """Delete the checkpoints of an earlier training, and load the weights to start from.

        Args:
            start: where the weights come from; None keeps the random weights. See `read_start_weights`.
            data: some of its training photos are used to set the batch norms.
            log: receives one line for each unreadable photo, and one about the weights.

        Raises:
            ReconcileError: the weights cannot be read or do not fit.
        """
        if self.process.rank == 0:
            for path in (self.last, self.best):
                path.unlink(missing_ok=True)
        if start is None:
            return
        chosen = data.photos[:: -(-len(data.photos) // START_IMAGES)]
        with self.process.main_process_first():
            pixels = load_arrays(chosen, self.recipe.stages[0].size, self.cache, log.info).pixels
            log.info(start_from(start, self.network, pixels))  # process 0 alone downloads published weights
        self.average.module.load_state_dict(self.network.state_dict())

    def load(self) -> None:
        """Continue from the last checkpoint. The state of the optimizer is loaded when its stage begins.

        Raises:
            ReconcileError: the file is not a checkpoint.
            UsageError: the checkpoint belongs to another training.
        """
        self._saved = checkpoint.load_to_resume(self.last, self.recipe, self.data_fingerprint, self.process.processes)
        if self._saved["device"] == self.process.device.type == "cpu":  # a new timing could choose another dtype
            self.autocast = self._saved["autocast"]
        self.network.load_state_dict(self._saved["network"])
        self.average.load_state_dict(self._saved["average"])
        if self._saved["scaler"] and self.scaler.is_enabled():  # empty unless the dtype was float16
            self.scaler.load_state_dict(self._saved["scaler"])
        self.progress = Progress(**self._saved["progress"])
        self.metrics.restore(self._saved["metrics"])

    def steps_per_epoch(self, images: int) -> int:
        """Return the number of full batches. The images of the incomplete batch differ from epoch to epoch."""
        return max(1, images // self.recipe.batch_size)

    def run_stage(
        self,
        number: int,
        data: TrainingData,
        log: RunLog,
        advance: Advance,
        on_epoch: Callable[[EpochMetrics], None],
    ) -> None:
        """Train the remaining epochs of one stage.

        Args:
            number: the number of the stage, from 0.
            data: the images of the training.
            log: receives one line for each epoch and each unreadable image.
            advance: called with the number of images after each step.
            on_epoch: called after each epoch.

        Raises:
            KeyboardInterrupt: A signal asked to stop. A checkpoint of the current step was written before.
            Diverged: the learning rate is too high.
            ReconcileError: an image file cannot be read.
        """
        stage = self.recipe.stages[number]
        with self.process.main_process_first():
            images = load_arrays(data.images, round(stage.size * CROP_MARGIN), self.cache, log.info)
            held_out = load_arrays(data.held_out, stage.size, self.cache, log.info)
        optimizer, schedule = _optimizer(
            self.network, self.recipe, stage, self.steps_per_epoch(len(images.counts)) * stage.epochs
        )
        if self._saved is not None and (self.progress.epoch or self.progress.step):
            optimizer.load_state_dict(self._saved["optimizer"])
            schedule.load_state_dict(self._saved["schedule"])
        self._saved = None
        while self.progress.epoch < stage.epochs:
            self._run_epoch(stage, images, optimizer, schedule, advance)
            metrics = self._validate(held_out, stage, number)
            self.progress.epoch += 1
            self.progress.step, self.progress.loss, self.progress.seconds = 0, 0.0, 0.0
            self.metrics.add(metrics)
            self._save_last(optimizer, schedule)
            log.info(metrics.as_line(stage.epochs), **asdict(metrics))
            on_epoch(metrics)
        self.progress.stage, self.progress.epoch = number + 1, 0

    def _run_epoch(
        self,
        stage: Stage,
        images: Arrays,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        advance: Advance,
    ) -> None:
        """Train one epoch. Everything random in a step depends only on the seed and the position of the step."""
        progress = self.progress
        started = time.monotonic() - progress.seconds
        order = order_of_epoch(images, self.recipe, progress.stage, progress.epoch)
        self.module.train()
        while progress.step < self.steps_per_epoch(len(order)):
            step = Step(progress.stage, progress.epoch, progress.step)
            batch, targets = draw_batch(images, order, step, self.recipe, self.process)
            with torch.autocast(self.process.device.type, dtype=self.autocast, enabled=self.autocast is not None):
                logits = self.module(batch)
            loss = functional.cross_entropy(logits.float(), targets)
            optimizer.zero_grad(set_to_none=True)
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            self.scaler.step(optimizer)
            self.scaler.update()
            schedule.step()
            self.average.update_parameters(self.network)
            progress.loss += loss.item()
            progress.step += 1
            progress.seconds = time.monotonic() - started
            advance(self.recipe.batch_size)
            if self.process.any_rank(cancellation.is_requested()):
                self._save_last(optimizer, schedule)
                self.process.wait_for_all()
                raise KeyboardInterrupt
        if self.process.any_rank(not math.isfinite(progress.loss)):
            raise Diverged(
                f"the loss is not a finite number after epoch {progress.epoch + 1} at {stage.size} px: "
                f"the learning rate of {stage.learning_rate:g} is too high"
            )

    def _validate(self, held_out: Arrays, stage: Stage, number: int) -> EpochMetrics:
        """Return the metrics of the epoch, and write a checkpoint if it is the best of the last stage.

        The current and the averaged weights compete, because the average lags behind while the learning rate is high.
        """
        is_last_stage = number == len(self.recipe.stages) - 1
        candidates = {"current": self.network, "averaged": self.average.module}
        truth = self.labels.indices_of(held_out.counts)
        losses, accuracies = {}, {}
        for candidate in candidates.values():
            # Each process trained on other images and has other batch statistics. Those of process 0 are used.
            self.process.broadcast(candidate.buffers())
        for name, candidate in candidates.items():
            logits = self._logits(candidate, held_out.pixels)
            losses[name] = log_loss(logits, truth, fit_temperature(logits, truth))
            accuracies[name] = float((logits.argmax(axis=1) == truth).mean())
        better = min(losses, key=lambda name: losses[name])
        if is_last_stage and losses[better] < self.progress.best:
            self.progress.best = losses[better]
            if self.process.rank == 0:
                state = {"weights": candidates[better].state_dict(), "size": stage.size}
                checkpoint.save(state, self.recipe, self.data_fingerprint, self.best)
        return EpochMetrics(
            stage=number + 1,
            size=stage.size,
            epoch=self.progress.epoch + 1,
            training_loss=sum(self.process.gather(self.progress.loss)) / self.process.processes / self.progress.step,
            loss_current=losses["current"],
            loss_averaged=losses["averaged"],
            accuracy_current=accuracies["current"],
            accuracy_averaged=accuracies["averaged"],
            seconds=self.progress.seconds,
        )

    def _logits(self, network: nn.Module, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the logits of all images, float32 [N, labels]. The processes share the work."""
        process = self.process
        parts = process.gather(predict_logits(network, pixels[process.rank :: process.processes], self.autocast))
        logits = np.empty((len(pixels), len(self.labels.names)), dtype=np.float32)
        for rank, part in enumerate(parts):
            logits[rank :: process.processes] = part
        return logits

    def _save_last(self, optimizer: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LRScheduler) -> None:
        if self.process.rank > 0:
            return
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "progress": {field.name: getattr(self.progress, field.name) for field in fields(Progress)},
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "processes": self.process.processes,
            "device": self.process.device.type,
            "autocast": self.autocast,
            "metrics": self.metrics.state(),
        }
        checkpoint.save(state, self.recipe, self.data_fingerprint, self.last)
        if self.metrics.rows:
            self.metrics.write()


def _optimizer(
    network: nn.Module, recipe: Recipe, stage: Stage, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    # Batch norms and biases have no weight decay, as in torchvision's reference training.
    decayed = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=stage.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=stage.learning_rate, total_steps=max(steps + 1, _MIN_CYCLE), pct_start=0.25
    )
    return optimizer, schedule
