"""Augmentation of training images."""

import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")

import torch

from reconcile.training.augment import augment, stitch


@pytest.mark.parametrize("upright", [True, False])
def test_stitched_bins_lie_beside_or_above_each_other(upright):
    first, second = (
        torch.full((2, 16, 16, 3), 10, dtype=torch.uint8),
        torch.full((2, 16, 16, 3), 200, dtype=torch.uint8),
    )
    pixels = stitch(first, second, upright=upright)
    assert pixels.shape == (2, 16, 16, 3)
    parts = (pixels[0][:8], pixels[0][8:]) if upright else (pixels[0][:, :8], pixels[0][:, 8:])
    assert [int(part.unique()) for part in parts] == [10, 200]


def test_augmented_images_keep_their_size_range_and_order():
    torch.manual_seed(1)
    pixels = torch.zeros(6, 44, 44, 3, dtype=torch.uint8)
    pixels[3:] = 255
    images = augment(pixels, 40)
    assert images.shape == (6, 40, 40, 3)
    assert images.min() >= 0
    assert images.max() <= 255
    assert (images.mean(dim=(1, 2, 3)) > 128).tolist() == [False] * 3 + [True] * 3


def test_requested_fraction_of_images_gets_a_small_patch():
    torch.manual_seed(2)
    pixels = torch.full((400, 44, 44, 3), 128, dtype=torch.uint8)
    plain = augment(pixels, 40, erased=0.0).flatten(1).std(dim=1) < 1
    assert plain.all(), "grey stays grey"
    images = augment(pixels, 40, erased=0.3)
    painted = images.flatten(1).std(dim=1) > 1
    assert 0.2 < painted.float().mean() < 0.4
    changed = (images[painted] - images[painted].median()).abs().amax(dim=3) > 60
    assert changed.float().mean(dim=(1, 2)).max() < 0.1, "a patch is small"
