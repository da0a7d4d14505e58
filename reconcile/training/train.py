"""Trains the count network after a recipe. A stopped training goes on exactly where it was."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import torch

from reconcile.concurrency import cancellation
from reconcile.datasets import labelled
from reconcile.errors import ReconcileError, UsageError
from reconcile.logs import FixedWorkload, RunLog
from reconcile.training.dataset import TrainingData, read_training_data
from reconcile.training.distributed import Distributed, init_distributed
from reconcile.training.trainer import Trainer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from reconcile.training.metrics import EpochMetrics
    from reconcile.training.recipe import Recipe


def train(
    folder: Path,
    recipe: Recipe,
    out: Path,
    messages: RunLog,
    *,
    validation: Path | None = None,
    start: Path | None = None,
    cache: Path | None = None,
    resume: bool = True,
    watch: Callable[[EpochMetrics], None] = lambda _: None,
) -> Path:
    """Train after `recipe` on the photos of `folder`; write checkpoints, metrics.csv and curves.html to `out`.

    Run by torchrun, every process calls this; the first writes and talks.

    Args:
        folder: photos with labels, in a layout that `labelled.read_labelled` knows.
        recipe: labels, stages and the rest; see `Recipe`.
        out: checkpoints and metrics go here.
        messages: told how it goes.
        validation: a folder of photos to hold out, instead of the recipe's fold of `folder`.
        start: the exported model that the recipe starts from.
        cache: where decoded arrays are kept; `out`/cache by default.
        resume: go on from `last.pt` in `out`, if there is one.
        watch: called after each epoch; what it raises ends the training.

    Returns:
        the path of the best checkpoint: at the last stage's input size, the one whose probabilities, after
        calibration, make the labels of the held-out photos most likely.

    Raises:
        KeyboardInterrupt: a signal asked to stop; a checkpoint of that very step was written before.
        Diverged: the learning rate was too high.
        ReconcileError: photos, checkpoint or start cannot be read, or do not fit each other.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReconcileError(f"--out {out} is no folder that can be written: {error.strerror}") from None
    with init_distributed(recipe.dtype) as place, cancellation.deferred():
        if place.rank > 0:
            messages = RunLog("text", stream=io.StringIO())  # the first process says it all
        found = read_training_data(folder, recipe, validation, messages.info)
        messages.info(
            f"{len(found.photos):,} photos and {len(found.drawings):,} drawings to train on, "
            f"{len(found.held_out):,} photos held out; {place.processes} x {place.device.type}, "
            f"{str(place.autocast or torch.float32).removeprefix('torch.')}"
        )
        _check_batches(recipe, place, len(found.images))
        training = Trainer(recipe, out, cache or out / "cache", place, _fingerprint(found))
        if resume and training.last.exists():
            training.load()
        else:
            training.begin(start, found, messages)
        workload = FixedWorkload(_images_left(recipe, training, len(found.images)))
        if not workload.total:
            messages.info(f"the training in {out} is finished, nothing is left to do; --no-resume begins anew")
        with messages.progress("training", workload) as advance:
            for number in range(training.progress.stage, len(recipe.stages)):
                training.run_stage(number, found, messages, advance, watch)
        place.wait_for_all()
        best = training.best
        del training  # it holds the process group that is about to end
    return best


def _fingerprint(found: TrainingData) -> str:
    return labelled.fingerprint([*found.photos, *found.held_out])


def _check_batches(recipe: Recipe, place: Distributed, images: int) -> None:
    """Batch statistics need two images in every process, and gradients are averaged as if all had equally many."""
    if recipe.batch_size % place.processes or recipe.batch_size < 2 * place.processes:
        raise UsageError(
            f"a batch of {recipe.batch_size} images cannot be cut into {place.processes} equal parts of two or more"
        )
    if images < recipe.batch_size and place.processes > 1:
        raise UsageError(f"{images} images are less than one batch of {recipe.batch_size}")


def _images_left(recipe: Recipe, training: Trainer, images: int) -> int:
    """Return the number of images that the training still has to process."""
    progress = training.progress
    steps = training.steps_of_an_epoch(images)
    epochs = sum(stage.epochs for stage in recipe.stages[progress.stage :]) - progress.epoch
    return (epochs * steps - progress.step) * recipe.batch_size
