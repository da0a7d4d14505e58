"""What one step of a training sees: photos in random order, some of them two bins stitched together."""

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
"""Share of the batches whose pairs stand one above the other; else side by side."""


class Step(NamedTuple):
    """Where in a training a step is. With the seed it decides all that is random in it."""

    stage: int
    epoch: int
    number: int
    """In its epoch."""


def order_of_epoch(images: Arrays, recipe: Recipe, stage: int, epoch: int) -> NDArray[np.int64]:
    """The order in which an epoch sees all images: int64 [N], their places."""
    return np.random.default_rng([recipe.seed, stage, epoch]).permutation(len(images.counts))


def draw_batch(
    images: Arrays, order: NDArray[np.int64], step: Step, recipe: Recipe, place: Distributed
) -> tuple[Tensor, Tensor]:
    """What this process takes of the next batch.

    Args:
        images: all that is trained on, larger than the input by `augment.CROP_MARGIN`.
        order: of the epoch.
        step: which batch.
        recipe: its size, and what is done to its images.
        place: this process's part.

    Returns:
        float [N, S, S, 3] of 0 to 255, S the stage's size; and targets, float [N, labels].
    """
    labels, size = recipe.count_labels, recipe.stages[step.stage].size
    rng = np.random.default_rng([recipe.seed, *step])
    # Every process draws the whole batch, so that they agree, and takes its part of it.
    chosen = np.sort(order[step.number * recipe.batch_size :][: recipe.batch_size])
    partners = np.full(len(chosen), -1)
    pairs = int(len(chosen) * recipe.stitched)
    if pairs:
        few = _few_items(images.counts, labels)
        first, second = few[rng.integers(len(few), size=(2, pairs))]
        sums = images.counts[first] + images.counts[second]
        fits = np.array([labels.index_of(int(total)) is not None for total in sums])
        places = rng.choice(len(chosen), pairs, replace=False)[fits]
        chosen[places], partners[places] = first[fits], second[fits]
    upright = bool(rng.random() < _UPRIGHT)
    torch.manual_seed(int(rng.integers(2**62)) + place.rank)
    chosen, partners = chosen[place.rank :: place.processes], partners[place.rank :: place.processes]
    pixels = torch.from_numpy(images.pixels[chosen]).to(place.device)
    counts = images.counts[chosen]
    (stitched,) = np.nonzero(partners >= 0)
    if len(stitched):
        seconds = partners[stitched]
        where = torch.from_numpy(stitched).to(place.device)
        others = torch.from_numpy(images.pixels[seconds]).to(place.device)
        pixels[where] = stitch(pixels[where], others, upright=upright)
        counts[stitched] += images.counts[seconds]
    targets = soft_targets(torch.from_numpy(counts), labels, recipe.label_sigma)
    return augment(pixels, size, recipe.erased), targets.to(place.device)


def _few_items(counts: NDArray[np.int64], labels: CountLabels) -> NDArray[np.int64]:
    """Images with so few items, but some, that two of them stay within the labels: their places."""
    few = np.flatnonzero((counts > 0) & (counts <= labels.values[-1] // 2))
    return few if len(few) else np.arange(len(counts))
