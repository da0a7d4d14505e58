"""Draw training batches: images in random order, some of them two stitched bins."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from reconcile.training.augment import augment, stitch
from reconcile.training.soft_targets import soft_targets

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reconcile.labels import CountLabels
    from reconcile.training.dataset import Arrays
    from reconcile.training.distributed import Distributed
    from reconcile.training.recipe import Recipe


_UPRIGHT = 0.3
"""The fraction of batches in which one bin of a pair is above the other. Otherwise they are side by side."""


class Step(NamedTuple):
    """The position of a step in a training. Together with the seed it decides everything random in the step."""

    stage: int
    epoch: int
    number: int
    """The number of the step in its epoch, from 0."""


def order_of_epoch(images: Arrays, recipe: Recipe, stage: int, epoch: int) -> NDArray[np.int64]:
    """Return the order of all images in an epoch.

    Args:
        images: all images, N of them.
        recipe: the seed.
        stage: the number of the stage, from 0.
        epoch: the number of the epoch in the stage, from 0.

    Returns:
        indices of images, int64 [N].
    """
    return np.random.default_rng([recipe.seed, stage, epoch]).permutation(len(images.counts))


def draw_batch(
    images: Arrays, order: NDArray[np.int64], step: Step, recipe: Recipe, process: Distributed
) -> tuple[Tensor, Tensor]:
    """Return this process's part of a batch.

    Args:
        images: all training images, larger than the input by `augment.CROP_MARGIN`.
        order: the order of images in the epoch; see `order_of_epoch`.
        step: the position of the batch in the training.
        recipe: the size of a batch, and the augmentation.
        process: this process of the training.

    Returns:
        images, float32 [N, S, S, 3], 0 to 255, where S is the input size of the stage, and soft targets,
        float32 [N, labels].
    """
    labels, size = recipe.count_labels, recipe.stages[step.stage].size
    rng = np.random.default_rng([recipe.seed, *step])
    # Every process draws the whole batch, so that all agree, and keeps its part.
    chosen = np.sort(order[step.number * recipe.batch_size :][: recipe.batch_size])
    partners = np.full(len(chosen), -1)
    pairs = int(len(chosen) * recipe.stitched)
    if pairs:
        few = _few_items(images.counts, labels)
        first, second = few[rng.integers(len(few), size=(2, pairs))]
        sums = images.counts[first] + images.counts[second]
        fits = np.array([labels.index_of(int(total)) is not None for total in sums])
        replaced = rng.choice(len(chosen), pairs, replace=False)[fits]
        chosen[replaced], partners[replaced] = first[fits], second[fits]
    upright = bool(rng.random() < _UPRIGHT)
    torch.manual_seed(int(rng.integers(2**62)) + process.rank)
    chosen, partners = chosen[process.rank :: process.processes], partners[process.rank :: process.processes]
    pixels = torch.from_numpy(images.pixels[chosen]).to(process.device)
    counts = images.counts[chosen]
    (stitched,) = np.nonzero(partners >= 0)
    if len(stitched):
        seconds = partners[stitched]
        rows = torch.from_numpy(stitched).to(process.device)
        others = torch.from_numpy(images.pixels[seconds]).to(process.device)
        pixels[rows] = stitch(pixels[rows], others, upright=upright)
        counts[stitched] += images.counts[seconds]
    targets = soft_targets(torch.from_numpy(counts), labels, recipe.label_sigma)
    return augment(pixels, size, recipe.erased), targets.to(process.device)


def _few_items(counts: NDArray[np.int64], labels: CountLabels) -> NDArray[np.int64]:
    """Return the indices of images with at least one item, but so few that the sum of two has a label.

    Without such images, all indices are returned.
    """
    few = np.flatnonzero((counts > 0) & (counts <= labels.values[-1] // 2))
    return few if len(few) else np.arange(len(counts))
