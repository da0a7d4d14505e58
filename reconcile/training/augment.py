"""Changes to training images that leave the count as it is."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

CROP_MARGIN = 1.1
"""Training arrays are this much larger than the input, so that a crop shows real pixels."""


def augment(pixels: Tensor, size: int) -> Tensor:
    """Random crops that keep most of the bin, mirror images, light and colour.

    Args:
        pixels: uint8 [N, s, s, 3].
        size: side of the result.

    Returns:
        float [N, size, size, 3] of 0 to 255.
    """
    number = len(pixels)
    device = pixels.device

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(number, device=device).uniform_(low, high)

    # The affine map takes output to input coordinates: a scale under 1 zooms in, the shift stays inside the image.
    scale_x, scale_y = uniform(0.86, 1.0), uniform(0.86, 1.0)
    mirror = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    theta = torch.zeros(number, 2, 3, device=device)
    theta[:, 0, 0], theta[:, 1, 1] = scale_x * mirror, scale_y
    theta[:, 0, 2], theta[:, 1, 2] = (1 - scale_x) * uniform(-1, 1), (1 - scale_y) * uniform(-1, 1)
    grid = functional.affine_grid(theta, [number, 3, size, size], align_corners=False)
    images = functional.grid_sample(
        pixels.permute(0, 3, 1, 2).float(), grid, padding_mode="reflection", align_corners=False
    )
    grey = images.mean(dim=1, keepdim=True)
    middle = images.mean(dim=(1, 2, 3), keepdim=True)
    images = grey + (images - grey) * uniform(0.6, 1.4).view(-1, 1, 1, 1)
    images = middle + (images - middle) * uniform(0.7, 1.3).view(-1, 1, 1, 1)
    images = images * uniform(0.7, 1.3).view(-1, 1, 1, 1)
    return images.clamp_(0, 255).permute(0, 2, 3, 1)
