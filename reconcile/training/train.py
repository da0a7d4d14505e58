"""Trains the count network after a recipe. One checkpoint an epoch; a stopped training goes on from the last."""

from __future__ import annotations

import csv
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from reconcile.errors import UsageError
from reconcile.training import data
from reconcile.training.augment import CROP_MARGIN, augment
from reconcile.training.network import CountNetwork, predict_logits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from reconcile.labels import CountLabels
    from reconcile.training.recipe import Recipe, Stage


def train(
    folder: Path, recipe: Recipe, out: Path, *, resume: bool = True, report: Callable[[str], None] = print
) -> Path:
    """Train after `recipe` on the images of `folder`; write checkpoints and `metrics.csv` to `out`.

    Trains on CUDA where torch finds it; that was not run where this was written.

    Args:
        folder: holds labels.csv and bin-images/.
        recipe: labels, stages and the rest; see `Recipe`.
        out: checkpoints, decoded arrays and metrics go here.
        resume: go on from `last.pt` in `out`, if there is one.
        report: called with one line an epoch.

    Returns:
        the path of the best checkpoint: the most held-out photos right at the last stage's input size.
    """
    out.mkdir(parents=True, exist_ok=True)
    training = _Training(recipe, out)
    if resume and training.last.exists():
        training.load()
    photos, held_out = data.read_labels(folder, recipe.count_labels, recipe.validation_fold)
    images = photos + data.drawings(recipe.drawings)
    report(f"{len(photos)} photos and {recipe.drawings} drawings to train on, {len(held_out)} photos held out")
    for number in range(training.progress.stage, len(recipe.stages)):
        size = recipe.stages[number].size
        arrays = data.load_arrays(images, round(size * CROP_MARGIN), out / "cache")
        training.run_stage(number, arrays, data.load_arrays(held_out, size, out / "cache"), report)
    return training.best


def label_indices(counts: NDArray[np.int64], labels: CountLabels) -> NDArray[np.int64]:
    """The label each count falls under: int64 [N]."""
    return np.array([labels.index_of(int(count)) for count in counts], dtype=np.int64)


_Arrays = tuple["NDArray[np.uint8]", "NDArray[np.int64]"]


@dataclass
class _Progress:
    """Where a training stands."""

    stage: int = 0
    epoch: int = 0
    best_accuracy: float = 0.0


class _Training:
    """The state of one training, and how it is kept."""

    def __init__(self, recipe: Recipe, out: Path) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.labels = recipe.count_labels
        self.last, self.best, self._metrics = out / "last.pt", out / "best.pt", out / "metrics.csv"
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = CountNetwork(len(self.labels.names)).to(self.device).to(memory_format=torch.channels_last)
        averaging = get_ema_multi_avg_fn(recipe.ema_decay)  # type: ignore[no-untyped-call]
        self.average = AveragedModel(self.network, multi_avg_fn=averaging, use_buffers=True)
        self.progress = _Progress()
        self._saved: dict[str, Any] | None = None

    def load(self) -> None:
        """Take up the last checkpoint; the optimizer's part of it waits for its stage to begin."""
        self._saved = torch.load(self.last, map_location=self.device, weights_only=True)
        if self._saved["recipe"] != self.recipe.model_dump():
            raise UsageError(f"{self.last} was made after another recipe; say --no-resume, or another --out")
        self.network.load_state_dict(self._saved["network"])
        self.average.load_state_dict(self._saved["average"])
        self.progress = _Progress(**self._saved["progress"])

    def run_stage(self, number: int, images: _Arrays, held_out: _Arrays, report: Callable[[str], None]) -> None:
        """Train the epochs of one stage that are still to do."""
        stage = self.recipe.stages[number]
        optimizer, schedule = _optimizer(self.network, self.recipe, stage, len(images[1]))
        if self._saved is not None and self.progress.epoch > 0:
            optimizer.load_state_dict(self._saved["optimizer"])
            schedule.load_state_dict(self._saved["schedule"])
        self._saved = None
        targets = _soft_targets(images[1], self.labels, self.recipe.label_sigma)
        while self.progress.epoch < stage.epochs:
            started = time.monotonic()
            loss = self._run_epoch(stage, images[0], targets, optimizer, schedule)
            self.progress.epoch += 1
            accuracies = self._validate(held_out, stage, is_last_stage=number == len(self.recipe.stages) - 1)
            seconds = time.monotonic() - started
            self._note(stage, loss, accuracies, seconds)
            report(
                f"{stage.size} px, epoch {self.progress.epoch}/{stage.epochs}: loss {loss:.3f}, held-out photos right: "
                f"{accuracies['current']:.1%} (averaged weights {accuracies['averaged']:.1%}), {seconds:.0f} s"
            )
            self._save_last(optimizer, schedule)
        self.progress.stage, self.progress.epoch = number + 1, 0

    def _run_epoch(
        self,
        stage: Stage,
        pixels: NDArray[np.uint8],
        targets: Tensor,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.OneCycleLR,
    ) -> float:
        """One pass over all images; returns the mean loss. What is random in it depends on seed and epoch only."""
        seed = [self.recipe.seed, self.progress.stage, self.progress.epoch]
        order = np.random.default_rng(seed).permutation(len(targets))
        torch.manual_seed(seed[0] * 1_000_003 + seed[1] * 1009 + seed[2])
        self.network.train()
        loss = 0.0
        for start in range(0, len(order), self.recipe.batch_size):
            chosen = np.sort(order[start : start + self.recipe.batch_size])
            if len(chosen) < 2:  # batch statistics need at least two images
                continue
            batch = augment(torch.from_numpy(np.array(pixels[chosen])).to(self.device), stage.size)
            with torch.autocast(self.device.type, dtype=torch.bfloat16):
                logits = self.network(batch)
            batch_loss = functional.cross_entropy(logits.float(), targets[chosen].to(self.device))
            optimizer.zero_grad(set_to_none=True)
            batch_loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            self.average.update_parameters(self.network)
            loss += batch_loss.item() * len(chosen) / len(order)
        return loss

    def _validate(self, held_out: _Arrays, stage: Stage, *, is_last_stage: bool) -> dict[str, float]:
        """Share of held-out photos right, by the weights as they are and by their average; keeps the best.

        While the learning rate is high, the average trails the weights too far to be of use.
        """
        candidates = {"current": self.network, "averaged": self.average.module}
        right = label_indices(held_out[1], self.labels)
        accuracies = {
            name: float((predict_logits(candidate, held_out[0]).argmax(axis=1) == right).mean())
            for name, candidate in candidates.items()
        }
        better = max(accuracies, key=lambda name: accuracies[name])
        if is_last_stage and accuracies[better] > self.progress.best_accuracy:
            self.progress.best_accuracy = accuracies[better]
            weights = candidates[better].state_dict()
            _save({"weights": weights, "size": stage.size, "recipe": self.recipe.model_dump()}, self.best)
        return accuracies

    def _note(self, stage: Stage, loss: float, accuracies: dict[str, float], seconds: float) -> None:
        is_new = not self._metrics.exists()
        with self._metrics.open("a", newline="") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(
                    ["size", "epoch", "training_loss", *(f"accuracy_{name}" for name in accuracies), "seconds"]
                )
            shares = (f"{accuracy:.4f}" for accuracy in accuracies.values())
            writer.writerow([stage.size, self.progress.epoch, f"{loss:.4f}", *shares, f"{seconds:.1f}"])

    def _save_last(self, optimizer: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.OneCycleLR) -> None:
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "recipe": self.recipe.model_dump(),
            "progress": vars(self.progress),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
        }
        _save(state, self.last)


def _soft_targets(counts: NDArray[np.int64], labels: CountLabels, sigma: float) -> Tensor:
    """Spread each label over its neighbours: being one item off is less wrong than being four off. [N, labels]."""
    values = np.asarray(labels.values, dtype=np.float64)
    places = label_indices(counts, labels)
    if sigma == 0:
        return torch.from_numpy(np.eye(len(values), dtype=np.float32)[places])
    weights = np.exp(-0.5 * ((values[None, :] - values[places][:, None]) / sigma) ** 2)
    return torch.from_numpy((weights / weights.sum(axis=1, keepdims=True)).astype(np.float32))


def _optimizer(
    network: nn.Module, recipe: Recipe, stage: Stage, images: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.OneCycleLR]:
    # Norms and biases are not decayed, as in torchvision's reference training.
    decayed = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=stage.learning_rate, fused=True)
    steps = math.ceil(images / recipe.batch_size) * stage.epochs
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=stage.learning_rate, total_steps=steps + 1, pct_start=0.25
    )
    return optimizer, schedule


def _save(state: dict[str, Any], path: Path) -> None:
    """Write beside, then rename: a checkpoint is whole or absent."""
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)
