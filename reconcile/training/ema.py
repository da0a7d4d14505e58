"""Exponential moving average of the weights, which varies less between steps than the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.optim.swa_utils import AveragedModel

if TYPE_CHECKING:
    from torch import Tensor, nn

    _Tensors = tuple[Tensor, ...] | list[Tensor]


def averaged_model(network: nn.Module, decay: float) -> AveragedModel:
    """Return an exponential moving average of the weights and batch statistics of a network.

    After n steps the average keeps min(decay, (1 + n) / (10 + n)) of itself, so that the random initial weights lose
    their influence soon.

    Args:
        network: the network to average. Call `update_parameters(network)` after each step.
        decay: the fraction of the average that is kept in each step, 0 to 1.
    """

    def update(averages: _Tensors, current: _Tensors, steps: Tensor | int) -> None:
        kept = min(decay, (1 + int(steps)) / (10 + int(steps)))
        if averages and averages[0].is_floating_point():
            torch._foreach_lerp_(averages, current, 1 - kept)
        else:  # counters, such as the number of batches, are copied
            for average, value in zip(averages, current, strict=True):
                average.copy_(value)

    return AveragedModel(network, multi_avg_fn=update, use_buffers=True)
