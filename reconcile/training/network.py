"""The ResNet34 network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models import resnet34

if TYPE_CHECKING:
    from numpy.typing import NDArray


# ImageNet's channel means and standard deviations, as in torchvision's recipes, on the scale 0 to 255.
_MEAN = (123.675, 116.28, 103.53)
_DEVIATION = (58.395, 57.12, 57.375)


class _Mean(nn.Module):
    """The global average, which torchvision computes by adaptive pooling.

    Adaptive pooling is exported with a gather over single numbers, for which OpenVINO computed other means.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Return the mean over the image.

        Args:
            features: float [N, C, H, W].

        Returns:
            float [N, C, 1, 1].
        """
        return features.mean(dim=(2, 3), keepdim=True)


class CountNetwork(nn.Module):
    """ResNet34 (He et al. 2016, Deep Residual Learning for Image Recognition) that takes raw pixels.

    Cast, scaling and layout are part of the network, so that they are exported with it.

    Args:
        labels: the number of labels.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.resnet = resnet34(num_classes=labels)
        self.resnet.avgpool = _Mean()
        self.register_buffer("mean", torch.tensor(_MEAN), persistent=False)
        self.register_buffer("deviation", torch.tensor(_DEVIATION), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the logits.

        Args:
            pixels: uint8 or float32 [N, S, S, 3], 0 to 255.

        Returns:
            float [N, labels].
        """
        images, height, width, channels = pixels.shape
        # Pixels are scaled as rows of S x 3 numbers. If a tensor ends in its channels, ONNX Runtime computes only three
        # numbers at a time.
        rows = pixels.reshape(images, height, width * channels).float()
        rows = (rows - self.mean.repeat(width)) / self.deviation.repeat(width)
        logits: Tensor = self.resnet(rows.reshape(images, height, width, channels).permute(0, 3, 1, 2))
        return logits


def predict_logits(
    network: nn.Module, pixels: NDArray[np.uint8], autocast: torch.dtype | None = None, batch_size: int = 128
) -> NDArray[np.float32]:
    """Return the logits of images in evaluation mode.

    Args:
        network: the network, on any device. It stays in evaluation mode.
        pixels: uint8 [N, S, S, 3].
        autocast: the dtype of convolutions; None for float32.
        batch_size: the number of images in one pass.

    Returns:
        float32 [N, labels].
    """
    device = next(network.parameters()).device
    network.eval()
    parts = [np.empty((0, 0), dtype=np.float32)]
    with torch.inference_mode(), torch.autocast(device.type, dtype=autocast, enabled=autocast is not None):
        for start in range(0, len(pixels), batch_size):
            batch = torch.from_numpy(np.array(pixels[start : start + batch_size])).to(device)
            parts.append(network(batch).float().cpu().numpy())
    return np.concatenate(parts[1:] or parts)
