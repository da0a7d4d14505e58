"""The network: torchvision's ResNet34 over raw pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models import resnet34

if TYPE_CHECKING:
    from numpy.typing import NDArray


# ImageNet's channel means and deviations, as in torchvision's own recipes, in units of 0 to 255.
_MEAN = (123.675, 116.28, 103.53)
_DEVIATION = (58.395, 57.12, 57.375)


class _Mean(nn.Module):
    """What torchvision's adaptive pooling computes here.

    That one is exported with a gather over single numbers behind it, and there OpenVINO computed other means.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Mean over the image: [N, C, H, W] → [N, C, 1, 1]."""
        return features.mean(dim=(2, 3), keepdim=True)


class CountNetwork(nn.Module):
    """ResNet34 with casting, scaling and layout inside, so that they are exported with it."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.resnet = resnet34(num_classes=labels)
        self.resnet.avgpool = _Mean()
        self.register_buffer("mean", torch.tensor(_MEAN), persistent=False)
        self.register_buffer("deviation", torch.tensor(_DEVIATION), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """uint8 or float [N, S, S, 3] of 0 to 255 → float [N, labels] logits."""
        images, height, width, channels = pixels.shape
        # Scaled as rows of S x 3 numbers: onnxruntime computes with three numbers at a time where a tensor ends in its
        # channels, which cost a tenth of all the time on a CPU with VNNI.
        rows = pixels.reshape(images, height, width * channels).float()
        rows = (rows - self.mean.repeat(width)) / self.deviation.repeat(width)
        logits: Tensor = self.resnet(rows.reshape(images, height, width, channels).permute(0, 3, 1, 2))
        return logits


def predict_logits(
    network: nn.Module, pixels: NDArray[np.uint8], autocast: torch.dtype | None = None, batch_size: int = 128
) -> NDArray[np.float32]:
    """Logits of uint8 [N, S, S, 3], in evaluation mode: float32 [N, labels]."""
    device = next(network.parameters()).device
    network.eval()
    parts = [np.empty((0, 0), dtype=np.float32)]
    with torch.inference_mode(), torch.autocast(device.type, dtype=autocast, enabled=autocast is not None):
        for start in range(0, len(pixels), batch_size):
            batch = torch.from_numpy(np.array(pixels[start : start + batch_size])).to(device)
            parts.append(network(batch).float().cpu().numpy())
    return np.concatenate(parts[1:] or parts)
