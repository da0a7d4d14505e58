"""What the network is taught for a count: shares over the labels that know how counts are ordered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from reconcile.labels import CountLabels


def soft_targets(counts: Tensor, labels: CountLabels, sigma: float) -> Tensor:
    """Spread each count over its neighbours: being one item off is less wrong than being four off.

    The spread is over items, not over labels, and lumped afterwards: twelve items lie wholly under `6+`, six items
    partly under 5. Weights are exp(-d²/2σ²) for a distance of d items, as in label distribution learning (Geng 2016).
    An empty bin is no neighbour of one with an item: the two look nothing alike, and a share of 0 taught for each
    single item would hide the records that say 0 wrongly.

    Args:
        counts: int64 [N], items in each image; every one must fall under a label.
        labels: the labels of the network.
        sigma: σ in items; 0 gives all to the label of the count itself.

    Returns:
        float32 [N, labels], rows summing to 1.
    """
    last = max(int(counts.max()) + 4, *labels.values) if len(counts) else 0
    places = [labels.index_of(count) for count in range(last + 1)]
    items = torch.tensor([count for count, place in enumerate(places) if place is not None])
    lump = torch.zeros(len(items), len(labels.names))
    lump[torch.arange(len(items)), torch.tensor([place for place in places if place is not None])] = 1.0
    distance = items[None, :] - counts.cpu()[:, None]
    weights = torch.exp(-0.5 * (distance / sigma) ** 2) if sigma else (distance == 0).float()
    weights *= (items[None, :] == 0) == (counts.cpu()[:, None] == 0)
    return (weights / weights.sum(dim=1, keepdim=True)) @ lump


def mean_targets(counts: Tensor, labels: CountLabels, sigma: float) -> Tensor:
    """What a network is taught to say, on average, of the images of each label.

    Args:
        counts: int64 [N], items in each training image.
        labels: the labels of the network.
        sigma: as in `soft_targets`.

    Returns:
        float32 [labels, labels], rows summing to 1. A label without an image stands for its own number.
    """
    # One image more of each label's number, which thousands do not notice, so that no row is empty.
    counts = torch.cat([counts, torch.tensor(labels.values)])
    targets = soft_targets(counts, labels, sigma)
    own = torch.tensor([labels.index_of(count) for count in counts.tolist()])
    sums = torch.zeros(len(labels.names), len(labels.names)).index_add_(0, own, targets)
    return sums / sums.sum(dim=1, keepdim=True)
