"""Load the weights of an exported model, to start a training from them."""

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
"""The number of images from which the statistics of a batch norm are computed."""
_PREFIX = "resnet."


def start_from(model: Path, network: CountNetwork, pixels: NDArray[np.uint8]) -> None:
    """Copy the weights of an exported model of any precision into a network.

    The export folds each batch norm into the convolution before it. Here each batch norm is set so that it has no
    effect on `pixels` except for the folded bias. So the training starts with the output of the exported model.

    Args:
        model: an ONNX file that `reconcile export` wrote.
        network: receives the weights. If its labels differ from the model's, its last layer keeps its weights.
        pixels: about `START_IMAGES` training images, uint8 [N, S, S, 3].

    Raises:
        ReconcileError: the file does not exist, or has no weights of this network.
    """
    constants = _float_constants(model)
    resnet = network.resnet
    with torch.no_grad():
        for name, convolution, norm in _folded_pairs(resnet):
            weight, bias = constants.get(f"{_PREFIX}{name}.weight"), constants.get(f"{_PREFIX}{name}.weight_bias")
            if weight is None or bias is None or weight.shape != convolution.weight.shape:
                raise ReconcileError(f"{model} has no weights for {name}, so no training can start from it")
            convolution.weight.copy_(weight)
            norm.bias.copy_(bias)
        weight, bias = constants.get(f"{_PREFIX}fc.weight"), constants.get(f"{_PREFIX}fc.bias")
        if weight is not None and bias is not None and weight.shape == resnet.fc.weight.shape:
            resnet.fc.weight.copy_(weight)
            resnet.fc.bias.copy_(bias)
        hooks = [norm.register_forward_hook(_neutralise) for _, _, norm in _folded_pairs(resnet)]
        device = next(network.parameters()).device
        network(torch.from_numpy(np.array(pixels)).to(device))
    for hook in hooks:
        hook.remove()


def _neutralise(norm: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> Tensor:
    """Set a batch norm so that it only adds the folded bias to these inputs, and return that sum."""
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
    """Yield each convolution with torchvision's name for it, and the batch norm behind it."""
    modules = dict(resnet.named_modules())
    for name, module in modules.items():
        if isinstance(module, nn.Conv2d):
            parent, _, last = name.rpartition(".")
            norm = f"{parent}.1" if last == "0" else name.replace("conv", "bn")
            follower = modules[norm]
            assert isinstance(follower, nn.BatchNorm2d)
            yield name, module, follower


def _float_constants(model: Path) -> dict[str, Tensor]:
    """Return the constants of the graph by name, as float32. Quantised constants are dequantised."""
    if not model.is_file():
        raise ReconcileError(f"there is no model file {model} to start from")
    try:
        graph = onnx.load(model).graph
    except Exception:  # protobuf has its own classes of errors
        raise ReconcileError(f"{model} is not an ONNX file") from None
    raw = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    constants = {name: value.astype(np.float32) for name, value in raw.items() if value.dtype.kind == "f"}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in raw:
            quantised, scale = raw[node.input[0]], raw[node.input[1]]
            zero = raw[node.input[2]] if len(node.input) > 2 else np.zeros_like(scale)
            shape = (-1, *(1,) * (quantised.ndim - 1))
            value = (quantised.astype(np.float32) - zero.reshape(shape)) * scale.reshape(shape)
            constants[node.output[0].removesuffix("_DequantizeLinear_Output")] = value.astype(np.float32)
    return {name: torch.from_numpy(value) for name, value in constants.items()}
