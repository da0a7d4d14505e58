"""Weight averaging: the mean of the last weights is steadier than the weights themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.optim.swa_utils import AveragedModel

if TYPE_CHECKING:
    from torch import Tensor, nn

    _Tensors = tuple[Tensor, ...] | list[Tensor]


def averaged_model(network: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of the weights and batch statistics of `network`.

    The first steps count more, min(decay, (1 + n) / (10 + n)) after n of them, so that the average does not drag the
    random start along.
    """

    def update(averages: _Tensors, current: _Tensors, steps: Tensor | int) -> None:
        kept = min(decay, (1 + int(steps)) / (10 + int(steps)))
        if averages and averages[0].is_floating_point():
            torch._foreach_lerp_(averages, current, 1 - kept)
        else:  # counters, such as the number of batches seen
            for average, value in zip(averages, current, strict=True):
                average.copy_(value)

    return AveragedModel(network, multi_avg_fn=update, use_buffers=True)
