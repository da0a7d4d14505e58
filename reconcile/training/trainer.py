"""The state of one training: its stages run, its checkpoints written and taken up."""

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


_SHORTEST_CYCLE = 8
"""Steps; of a shorter one torch's schedule divides by zero."""


class Diverged(ReconcileError):
    """The loss is no number any more."""


@dataclass
class Progress:
    """Where a training stands."""

    stage: int = 0
    epoch: int = 0
    step: int = 0
    """Steps of this epoch that are done."""
    loss: float = 0.0
    """Their sum of losses."""
    seconds: float = 0.0
    """Time this epoch took so far, over all its interruptions."""
    best: float = math.inf
    """−ln P of the held-out labels by the best checkpoint."""


class Trainer:
    """The state of one training, and how it is kept."""

    def __init__(self, recipe: Recipe, out: Path, cache: Path, place: Distributed, data_fingerprint: str) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.place, self.cache = recipe, place, cache
        self.data_fingerprint = data_fingerprint
        self.labels = recipe.count_labels
        self.last, self.best = out / checkpoint.LAST, out / "best.pt"
        self.network = CountNetwork(len(self.labels.names)).to(place.device).to(memory_format=torch.channels_last)
        self.module: nn.Module = self.network
        """The network, or what keeps it the same in several processes."""
        if place.processes > 1:
            self.module = DistributedDataParallel(self.network)
        self.average = averaged_model(self.network, recipe.ema_decay)
        self.autocast = place.autocast
        self.scaler = torch.amp.GradScaler(place.device.type, enabled=place.autocast == torch.float16)
        self.progress = Progress()
        self.metrics = Metrics(out, recipe.version)
        self._saved: dict[str, Any] | None = None

    def begin(self, start: Path | None, found: TrainingData, messages: RunLog) -> None:
        """Forget what an earlier training left, and take the weights to start from."""
        if self.place.rank == 0:
            for path in (self.last, self.best):
                path.unlink(missing_ok=True)
        if start is None:
            return
        chosen = found.photos[:: -(-len(found.photos) // START_IMAGES)]
        with self.place.main_process_first():
            pixels = load_arrays(chosen, self.recipe.stages[0].size, self.cache, messages.info).pixels
        start_from(start, self.network, pixels)
        self.average.module.load_state_dict(self.network.state_dict())

    def load(self) -> None:
        """Take up the last checkpoint; the optimizer's part of it waits for its stage to begin."""
        self._saved = checkpoint.load_to_resume(self.last, self.recipe, self.data_fingerprint, self.place.processes)
        if self._saved["device"] == self.place.device.type == "cpu":  # timed: today another dtype may be the faster
            self.autocast = self._saved["autocast"]
        self.network.load_state_dict(self._saved["network"])
        self.average.load_state_dict(self._saved["average"])
        if self._saved["scaler"] and self.scaler.is_enabled():  # none where it was not float16
            self.scaler.load_state_dict(self._saved["scaler"])
        self.progress = Progress(**self._saved["progress"])
        self.metrics.restore(self._saved["metrics"])

    def steps_of_an_epoch(self, images: int) -> int:
        """Full batches only; which images wait for the next epoch changes with its order."""
        return max(1, images // self.recipe.batch_size)

    def run_stage(
        self,
        number: int,
        found: TrainingData,
        messages: RunLog,
        advance: Advance,
        watch: Callable[[EpochMetrics], None],
    ) -> None:
        """Train the epochs of one stage that are still to do."""
        stage = self.recipe.stages[number]
        with self.place.main_process_first():
            images = load_arrays(found.images, round(stage.size * CROP_MARGIN), self.cache, messages.info)
            held_out = load_arrays(found.held_out, stage.size, self.cache, messages.info)
        optimizer, schedule = _optimizer(
            self.network, self.recipe, stage, self.steps_of_an_epoch(len(images.counts)) * stage.epochs
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
            messages.info(metrics.as_line(stage.epochs), **asdict(metrics))
            watch(metrics)
        self.progress.stage, self.progress.epoch = number + 1, 0

    def _run_epoch(
        self,
        stage: Stage,
        images: Arrays,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        advance: Advance,
    ) -> None:
        """One pass over all images. What is random in a step depends on the seed and the step's place only."""
        progress = self.progress
        started = time.monotonic() - progress.seconds
        order = order_of_epoch(images, self.recipe, progress.stage, progress.epoch)
        self.module.train()
        while progress.step < self.steps_of_an_epoch(len(order)):
            step = Step(progress.stage, progress.epoch, progress.step)
            batch, targets = draw_batch(images, order, step, self.recipe, self.place)
            with torch.autocast(self.place.device.type, dtype=self.autocast, enabled=self.autocast is not None):
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
            if self.place.any_rank(cancellation.is_requested()):
                self._save_last(optimizer, schedule)
                self.place.wait_for_all()
                raise KeyboardInterrupt
        if self.place.any_rank(not math.isfinite(progress.loss)):
            raise Diverged(
                f"the loss is no number any more after epoch {progress.epoch + 1} at {stage.size} px: "
                f"the learning rate of {stage.learning_rate:g} is too high"
            )

    def _validate(self, held_out: Arrays, stage: Stage, number: int) -> EpochMetrics:
        """How likely the held-out labels are, by the weights as they are and by their average; keeps the best.

        While the learning rate is high, the average may trail the weights too far to be of use.
        """
        is_last_stage = number == len(self.recipe.stages) - 1
        candidates = {"current": self.network, "averaged": self.average.module}
        right = self.labels.indices_of(held_out.counts)
        losses, accuracies = {}, {}
        for candidate in candidates.values():
            # Each process saw other images, so its batch statistics are its own; the first one's are kept.
            self.place.share(candidate.buffers())
        for name, candidate in candidates.items():
            logits = self._logits(candidate, held_out.pixels)
            losses[name] = log_loss(logits, right, fit_temperature(logits, right))
            accuracies[name] = float((logits.argmax(axis=1) == right).mean())
        better = min(losses, key=lambda name: losses[name])
        if is_last_stage and losses[better] < self.progress.best:
            self.progress.best = losses[better]
            if self.place.rank == 0:
                state = {"weights": candidates[better].state_dict(), "size": stage.size}
                checkpoint.save(state, self.recipe, self.data_fingerprint, self.best)
        return EpochMetrics(
            stage=number + 1,
            size=stage.size,
            epoch=self.progress.epoch + 1,
            training_loss=sum(self.place.gather(self.progress.loss)) / self.place.processes / self.progress.step,
            loss_current=losses["current"],
            loss_averaged=losses["averaged"],
            accuracy_current=accuracies["current"],
            accuracy_averaged=accuracies["averaged"],
            seconds=self.progress.seconds,
        )

    def _logits(self, network: nn.Module, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Each process takes every so-manieth image."""
        place = self.place
        parts = place.gather(predict_logits(network, pixels[place.rank :: place.processes], self.autocast))
        logits = np.empty((len(pixels), len(self.labels.names)), dtype=np.float32)
        for rank, part in enumerate(parts):
            logits[rank :: place.processes] = part
        return logits

    def _save_last(self, optimizer: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LRScheduler) -> None:
        if self.place.rank > 0:
            return
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "progress": {field.name: getattr(self.progress, field.name) for field in fields(Progress)},
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "processes": self.place.processes,
            "device": self.place.device.type,
            "autocast": self.autocast,
            "metrics": self.metrics.state(),
        }
        checkpoint.save(state, self.recipe, self.data_fingerprint, self.last)
        if self.metrics.rows:
            self.metrics.write()


def _optimizer(
    network: nn.Module, recipe: Recipe, stage: Stage, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    # Norms and biases are not decayed, as in torchvision's reference training.
    decayed = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=stage.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=stage.learning_rate, total_steps=max(steps + 1, _SHORTEST_CYCLE), pct_start=0.25
    )
    return optimizer, schedule
