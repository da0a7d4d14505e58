"""Soft targets over neighbouring counts."""

import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")

import numpy as np
import torch

from reconcile.labels import CountLabels
from reconcile.training.soft_targets import mean_targets, soft_targets

LABELS = CountLabels(("0", "1", "2", "3+"))


def test_targets_spread_over_items_and_are_summed_by_label_afterwards():
    targets = soft_targets(torch.tensor([0, 1, 3, 12]), LABELS, 0.6)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(4))
    zero, one, three, twelve = targets.tolist()
    assert zero == [1, 0, 0, 0]
    assert one[0] == 0, "an empty bin is not a neighbour of a bin with one item"
    assert one[1] > one[2] > one[3] > 0
    near = np.exp(-0.5 * (1 / 0.6) ** 2)
    assert one[2] / one[1] == pytest.approx(near)
    assert three[2] < one[2], "half of the spread around three items stays within 3+"
    assert twelve[3] == pytest.approx(1), "twelve items are far from two"


def test_targets_with_sigma_zero_are_one_hot():
    torch.testing.assert_close(soft_targets(torch.tensor([0, 2, 7]), LABELS, 0), torch.eye(4)[[0, 2, 3]])


def test_closed_labels_get_nothing_for_counts_without_a_label():
    targets = soft_targets(torch.tensor([1, 5]), CountLabels(("1", "2", "3", "4", "5")), 0.6)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(2))
    assert targets[1, 4] > targets[1, 3] > targets[1, 0]


def test_mean_targets_average_over_the_images_of_a_label():
    counts = torch.tensor([1] * 500 + [3] * 300 + [9] * 200)
    means = mean_targets(counts, LABELS, 0.6)
    torch.testing.assert_close(means.sum(dim=1), torch.ones(4))
    targets = soft_targets(torch.tensor([1, 3, 9]), LABELS, 0.6)
    torch.testing.assert_close(means[1], targets[0])
    torch.testing.assert_close(means[3], 0.6 * targets[1] + 0.4 * targets[2], atol=1e-3, rtol=0)
    torch.testing.assert_close(means[0], torch.tensor([1.0, 0, 0, 0]))
