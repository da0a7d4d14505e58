"""Augmentation: random changes that keep the count, and stitched bins whose counts add up."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable


CROP_MARGIN = 1.1
"""The side of training arrays divided by the side of the input, so that crops need no scaling up."""

_MAX_ROTATION = math.radians(4)
_ERASED_AREA = (0.01, 0.06)
"""The range of a patch's area, as a fraction of the image."""
_ERASED_SHAPE = (0.2, 5.0)
"""The range of a patch's height divided by its width."""


def stitch(first: Tensor, second: Tensor, *, upright: bool) -> Tensor:
    """Join two bins into one image, each at half its width or height. Their counts add up.

    Args:
        first: uint8 [N, s, s, 3].
        second: uint8 [N, s, s, 3].
        upright: True puts one bin above the other, False puts them side by side.

    Returns:
        uint8 [N, s, s, 3].
    """
    side = first.shape[1]
    parts = [part.permute(0, 3, 1, 2).float() for part in (first, second)]
    sizes = [side // 2, side - side // 2]
    shapes = [(half, side) if upright else (side, half) for half in sizes]
    halves = [
        functional.interpolate(part, shape, mode="bilinear", antialias=True, align_corners=False)
        for part, shape in zip(parts, shapes, strict=True)
    ]
    return torch.cat(halves, dim=2 if upright else 3).round_().clamp_(0, 255).byte().permute(0, 2, 3, 1)


def augment(pixels: Tensor, size: int, erased: float = 0.0) -> Tensor:
    """Crop, rotate and mirror images at random, change their light and colour, and paint over patches.

    Crops keep most of the bin. Random numbers come from torch's global generator.

    Args:
        pixels: uint8 [N, s, s, 3].
        size: the side of the result, in pixels.
        erased: the fraction of images in which one patch (1 to 6 % of the area) is painted over, 0 to 1.

    Returns:
        float32 [N, size, size, 3], 0 to 255.
    """
    number = len(pixels)
    device = pixels.device

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(number, device=device).uniform_(low, high)

    # The affine map goes from output to input coordinates. A scale below 1 zooms in, and shifts stay inside the image.
    scale_x, scale_y = uniform(0.84, 1.0), uniform(0.84, 1.0)
    mirror = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    angle = uniform(-_MAX_ROTATION, _MAX_ROTATION)
    theta = torch.zeros(number, 2, 3, device=device)
    theta[:, 0, 0], theta[:, 0, 1] = scale_x * mirror * angle.cos(), -scale_x * angle.sin()
    theta[:, 1, 0], theta[:, 1, 1] = scale_y * mirror * angle.sin(), scale_y * angle.cos()
    theta[:, 0, 2], theta[:, 1, 2] = (1 - scale_x) * uniform(-1, 1), (1 - scale_y) * uniform(-1, 1)
    grid = functional.affine_grid(theta, [number, 3, size, size], align_corners=False)
    images = functional.grid_sample(
        pixels.permute(0, 3, 1, 2).float(), grid, padding_mode="reflection", align_corners=False
    )
    grey = images.mean(dim=1, keepdim=True)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = grey + (images - grey) * uniform(0.6, 1.4).view(-1, 1, 1, 1)
    images = mean + (images - mean) * uniform(0.7, 1.3).view(-1, 1, 1, 1)
    images = images * uniform(0.7, 1.3).view(-1, 1, 1, 1)
    if erased:
        images = _erase(images, uniform, erased)
    return images.clamp_(0, 255).permute(0, 2, 3, 1)


def _erase(images: Tensor, uniform: Callable[[float, float], Tensor], fraction: float) -> Tensor:
    """Paint a rectangle of one colour over some of the images (Zhong et al. 2020, Random Erasing Data Augmentation).

    The rectangles are small, so that they do not hide an item.
    """
    size = images.shape[-1]
    area = uniform(*_ERASED_AREA)
    shape = torch.exp(uniform(math.log(_ERASED_SHAPE[0]), math.log(_ERASED_SHAPE[1])))
    height, width = (area * shape).sqrt(), (area / shape).sqrt()
    top, left = uniform(0, 1) * (1 - height), uniform(0, 1) * (1 - width)
    positions = (torch.arange(size, device=images.device) + 0.5) / size
    rows = (positions >= top[:, None]) & (positions < (top + height)[:, None])
    columns = (positions >= left[:, None]) & (positions < (left + width)[:, None])
    hidden = rows[:, :, None] & columns[:, None, :] & (uniform(0, 1) < fraction)[:, None, None]
    colour = torch.stack([uniform(0, 255) for _ in range(3)], dim=1)[:, :, None, None]
    return torch.where(hidden[:, None], colour, images)
