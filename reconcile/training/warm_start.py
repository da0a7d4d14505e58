"""Start from a model that was exported before, instead of from random weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from reconcile.errors import ReconcileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from reconcile.training.network import CountNetwork


START_IMAGES = 256
"""So many are enough for the statistics of a norm."""
_PREFIX = "resnet."


def start_from(model: Path, network: CountNetwork, pixels: NDArray[np.uint8]) -> None:
    """Give `network` the weights of an exported model, whatever its precision.

    An exported model has no batch norms: they were folded into the convolutions before them. They come back as norms
    that undo exactly what they do to `pixels`, so that training starts from the same answers.

    Args:
        model: an ONNX file made by `reconcile export`.
        network: takes the weights; where its labels differ from the model's, its last layer stays as it is.
        pixels: uint8 [N, S, S, 3], about START_IMAGES training images.

    Raises:
        ReconcileError: there is no such file, or it holds no ResNet34 of ours.
    """
    found = _initializers(model)
    resnet = network.resnet
    with torch.no_grad():
        for name, convolution, norm in _folded_pairs(resnet):
            weight, bias = found.get(f"{_PREFIX}{name}.weight"), found.get(f"{_PREFIX}{name}.weight_bias")
            if weight is None or bias is None or weight.shape != convolution.weight.shape:
                raise ReconcileError(f"{model} holds no weights of {name}: training cannot start from it")
            convolution.weight.copy_(weight)
            norm.bias.copy_(bias)
        weight, bias = found.get(f"{_PREFIX}fc.weight"), found.get(f"{_PREFIX}fc.bias")
        if weight is not None and bias is not None and weight.shape == resnet.fc.weight.shape:
            resnet.fc.weight.copy_(weight)
            resnet.fc.bias.copy_(bias)
        hooks = [norm.register_forward_hook(_undo) for _, _, norm in _folded_pairs(resnet)]
        device = next(network.parameters()).device
        network(torch.from_numpy(np.array(pixels)).to(device))
    for hook in hooks:
        hook.remove()


def _undo(norm: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> Tensor:
    """Set a norm so that it only adds the folded bias to these inputs, and pass on just that."""
    assert isinstance(norm, nn.BatchNorm2d)
    images = inputs[0]
    shift = norm.bias.detach().clone()
    variance, mean = torch.var_mean(images, dim=(0, 2, 3), correction=0)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_((variance + norm.eps).sqrt())
    norm.bias.copy_(mean + shift)
    return images + shift.view(1, -1, 1, 1)


def _folded_pairs(resnet: nn.Module) -> Iterator[tuple[str, nn.Conv2d, nn.BatchNorm2d]]:
    """Each convolution with the norm behind it, by torchvision's names."""
    modules = dict(resnet.named_modules())
    for name, module in modules.items():
        if isinstance(module, nn.Conv2d):
            parent, _, last = name.rpartition(".")
            norm = f"{parent}.1" if last == "0" else name.replace("conv", "bn")
            follower = modules[norm]
            assert isinstance(follower, nn.BatchNorm2d)
            yield name, module, follower


def _initializers(model: Path) -> dict[str, Tensor]:
    """The graph's constants as float32; quantised ones as what they stand for."""
    if not model.is_file():
        raise ReconcileError(f"there is no {model} to start from")
    try:
        graph = onnx.load(model).graph
    except Exception:  # protobuf has errors of its own
        raise ReconcileError(f"{model} is not an ONNX file") from None
    raw = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    constants = {name: value.astype(np.float32) for name, value in raw.items() if value.dtype.kind == "f"}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in raw:
            quantised, scale = raw[node.input[0]], raw[node.input[1]]
            zero = raw[node.input[2]] if len(node.input) > 2 else np.zeros_like(scale)
            along = (-1, *(1,) * (quantised.ndim - 1))
            value = (quantised.astype(np.float32) - zero.reshape(along)) * scale.reshape(along)
            constants[node.output[0].removesuffix("_DequantizeLinear_Output")] = value.astype(np.float32)
    return {name: torch.from_numpy(value) for name, value in constants.items()}
