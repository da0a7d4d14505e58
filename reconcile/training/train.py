"""Train a count model from a recipe. A stopped training continues exactly where it was."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from reconcile.concurrency import cancellation
from reconcile.errors import ReconcileError, UsageError
from reconcile.logs import FixedWorkload, RunLog
from reconcile.training.dataset import read_training_data
from reconcile.training.distributed import Distributed, init_distributed
from reconcile.training.trainer import Trainer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from reconcile.training.metrics import EpochMetrics
    from reconcile.training.recipe import Recipe


@dataclass(frozen=True)
class TrainingPaths:
    """The folders and files of a training."""

    data: Path
    """The folder of photos with counts, in any layout of `labelled.read_labelled`."""
    out: Path
    """The folder for the results."""
    validation: Path | None = None
    """The folder of photos to hold out. None holds out the validation fold of `data`."""
    start: str | None = None
    """The weights that the recipe starts from: the path of a file, or `torchvision:NAME`."""
    cache: Path | None = None
    """The folder for decoded photos. None means cache/ in `out`."""

    def make_out(self) -> None:
        """Create the folder for the results.

        Raises:
            ReconcileError: the folder cannot be created.
        """
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ReconcileError(f"--out {self.out} is not a folder that can be written to: {error.strerror}") from None


def train(
    recipe: Recipe,
    paths: TrainingPaths,
    log: RunLog,
    *,
    resume: bool = True,
    on_epoch: Callable[[EpochMetrics], None] = lambda _: None,
) -> Path:
    """Train from a recipe, and write checkpoints, metrics.csv and curves.html.

    If torchrun started several processes, each of them calls this function. Process 0 writes the files and the log.

    Args:
        recipe: labels, stages and the other settings.
        paths: the photos, the folder for the results, and the model to start from.
        log: receives the progress.
        resume: whether to continue from last.pt in `paths.out`, if that file exists.
        on_epoch: called after each epoch. An exception that it raises ends the training.

    Returns:
        the path of the best checkpoint. It is from the last stage, and its calibrated probabilities make the labels of
        the held-out photos most likely.

    Raises:
        KeyboardInterrupt: A signal asked to stop. A checkpoint of the current step was written before.
        Diverged: the learning rate is too high.
        UsageError: the checkpoint belongs to another training, or the batch cannot be divided among the processes.
        ReconcileError: photos, checkpoint or start model cannot be read, or the output cannot be written.
    """
    paths.make_out()
    with init_distributed(recipe.dtype) as process, cancellation.deferred():
        if process.rank > 0:
            log = RunLog("text", stream=io.StringIO())  # process 0 logs for all
        data = read_training_data(paths.data, recipe, paths.validation, log.info)
        log.info(
            f"training on {len(data.photos):,} photos and {len(data.drawings):,} drawings, "
            f"{len(data.held_out):,} photos held out; {process.processes} x {process.device.type}, "
            f"{str(process.autocast or torch.float32).removeprefix('torch.')}"
        )
        _check_batch_size(recipe, process, len(data.images))
        trainer = Trainer(recipe, paths.out, paths.cache or paths.out / "cache", process, data.fingerprint())
        if resume and trainer.last.exists():
            trainer.load()
        else:
            trainer.begin(paths.start, data, log)
        workload = FixedWorkload(_images_left(recipe, trainer, len(data.images)))
        if not workload.total:
            log.info(f"the training in {paths.out} is already finished; --no-resume starts it again")
        with log.progress("training", workload) as advance:
            for number in range(trainer.progress.stage, len(recipe.stages)):
                trainer.run_stage(number, data, log, advance, on_epoch)
        process.wait_for_all()
        best = trainer.best
        del trainer  # it holds the process group, which is destroyed next
    return best


def _check_batch_size(recipe: Recipe, process: Distributed, images: int) -> None:
    """Check that every process gets an equal part of at least two images.

    Batch statistics need two images, and gradients are averaged with equal weights.

    Raises:
        UsageError: the batch size does not fit the number of processes or images.
    """
    if recipe.batch_size % process.processes or recipe.batch_size < 2 * process.processes:
        raise UsageError(
            f"a batch of {recipe.batch_size} images cannot be divided among {process.processes} processes into equal "
            "parts of two or more; change batch_size in the recipe"
        )
    if images < recipe.batch_size and process.processes > 1:
        raise UsageError(
            f"{images} training images are less than one batch of {recipe.batch_size}; lower batch_size in the recipe"
        )


def _images_left(recipe: Recipe, trainer: Trainer, images: int) -> int:
    """Return the number of images that the rest of the training will process, with repetitions."""
    progress = trainer.progress
    steps = trainer.steps_per_epoch(images)
    epochs = sum(stage.epochs for stage in recipe.stages[progress.stage :]) - progress.epoch
    return (epochs * steps - progress.step) * recipe.batch_size
