"""Soft targets over neighbouring counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from reconcile.labels import CountLabels


def soft_targets(counts: Tensor, labels: CountLabels, sigma: float) -> Tensor:
    """Return targets that spread each count over its neighbours, because being one item off is a small error.

    A count at a distance of d items gets the weight exp(−d² / 2σ²), as in label distribution learning (Geng 2016, Label
    Distribution Learning, IEEE TKDE 28:1734-1748). The spread is over items and is summed by label afterwards: the
    target of twelve items is all `6+`, and that of six items is partly 5. Zero items is not a neighbour of one item,
    because an empty bin looks different. Otherwise each bin with one item would get some probability of 0, which would
    hide records that state 0 by mistake.

    Args:
        counts: the items in each image, int64 [N]. A label must cover each count.
        labels: the labels of the network.
        sigma: σ in items. With 0, the label of the count gets everything.

    Returns:
        float32 [N, labels], rows summing to 1.
    """
    last = max(int(counts.max()) + 4, *labels.values) if len(counts) else 0
    indices = [labels.index_of(count) for count in range(last + 1)]
    items = torch.tensor([count for count, index in enumerate(indices) if index is not None])
    by_label = torch.zeros(len(items), len(labels.names))
    by_label[torch.arange(len(items)), torch.tensor([index for index in indices if index is not None])] = 1.0
    distance = items[None, :] - counts.cpu()[:, None]
    weights = torch.exp(-0.5 * (distance / sigma) ** 2) if sigma else (distance == 0).float()
    weights *= (items[None, :] == 0) == (counts.cpu()[:, None] == 0)
    return (weights / weights.sum(dim=1, keepdim=True)) @ by_label


def mean_targets(counts: Tensor, labels: CountLabels, sigma: float) -> Tensor:
    """Return the mean soft target of the images of each label.

    Args:
        counts: the items in each training image, int64 [N].
        labels: the labels of the network.
        sigma: σ in items; see `soft_targets`.

    Returns:
        float32 [labels, labels], rows summing to 1. A label without images has the target of its own number.
    """
    # One image of each label's number is added, so that no row is empty. Among thousands it makes no difference.
    counts = torch.cat([counts, torch.tensor(labels.values)])
    targets = soft_targets(counts, labels, sigma)
    indices = torch.tensor([labels.index_of(count) for count in counts.tolist()])
    sums = torch.zeros(len(labels.names), len(labels.names)).index_add_(0, indices, targets)
    return sums / sums.sum(dim=1, keepdim=True)
