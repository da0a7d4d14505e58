"""Start a training from the weights of another network."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from reconcile.errors import ReconcileError
from reconcile.text import plural
from reconcile.training.start_weights import read_start_weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from reconcile.training.network import CountNetwork


START_IMAGES = 256
"""The number of images from which the statistics of a batch norm are computed."""
_NORM_TENSORS = ("weight", "bias", "running_mean", "running_var")
_STEM = "the stem"


class _Convolution(NamedTuple):
    """A convolution and the batch norm behind it."""

    name: str
    """Torchvision's name of the convolution."""
    convolution: nn.Conv2d
    norm_name: str
    norm: nn.BatchNorm2d


def start_from(source: str, network: CountNetwork, pixels: NDArray[np.uint8]) -> str:
    """Copy weights into a network, block by block.

    A smaller ResNet fits, too: further blocks of a layer begin as the identity, so that the network computes the same
    features (Goyal et al. 2017, Accurate, Large Minibatch SGD, section 5.1, sets the last batch norm of a block to
    zero). A layer whose first block is not complete keeps its random weights.

    If a batch norm is folded into the convolution before it, the batch norm is set so that it has no effect on
    `pixels` except for the folded bias. So the training starts with the output of the other network.

    Args:
        source: where the weights come from; see `read_start_weights`.
        network: receives the weights. Its last layer keeps its weights unless the source has one for as many labels.
        pixels: about `START_IMAGES` training images, uint8 [N, S, S, 3].

    Returns:
        a sentence that says which parts of the network took weights.

    Raises:
        ReconcileError: the weights cannot be read, or do not fit this network.
    """
    tensors = read_start_weights(source)
    taken: list[str] = []
    identities: list[str] = []
    untouched: list[str] = []
    folded: list[nn.BatchNorm2d] = []
    with torch.no_grad():
        for block, convolutions in _blocks(network.resnet).items():
            first = f"{block.partition('.')[0]}.0"
            if all(_has(tensors, each, source) for each in convolutions):
                folded += _copy(tensors, convolutions)
                taken.append(block)
            elif first in taken and not any(f"{each.name}.weight" in tensors for each in convolutions):
                convolutions[-1].norm.weight.zero_()
                identities.append(block)
            else:
                untouched.append(block)
        if _STEM not in taken:
            raise ReconcileError(f"{source} has no weights for conv1, so no training can start from it")
        _copy_last_layer(tensors, network.resnet.fc)
        if folded:
            _neutralise_norms(folded, network, pixels)
    return _describe(source, taken, identities, untouched)


def _blocks(resnet: nn.Module) -> dict[str, list[_Convolution]]:
    """Return the convolutions of each residual block, with the one on the main path last, and those of the stem."""
    blocks: dict[str, list[_Convolution]] = {}
    for each in _convolutions(resnet):
        parts = each.name.split(".")
        block = ".".join(parts[:2]) if len(parts) > 1 else _STEM
        blocks.setdefault(block, []).append(each)
    for convolutions in blocks.values():
        convolutions.sort(key=lambda each: "downsample" not in each.name)
    return blocks


def _convolutions(resnet: nn.Module) -> Iterator[_Convolution]:
    modules = dict(resnet.named_modules())
    for name, module in modules.items():
        if isinstance(module, nn.Conv2d):
            parent, _, last = name.rpartition(".")
            norm = f"{parent}.1" if last == "0" else name.replace("conv", "bn")
            follower = modules[norm]
            assert isinstance(follower, nn.BatchNorm2d)
            yield _Convolution(name, module, norm, follower)


def _has(tensors: dict[str, Tensor], wanted: _Convolution, source: str) -> bool:
    """Return whether a source has a convolution and its batch norm.

    Raises:
        ReconcileError: the source has the convolution in another shape.
    """
    weight = tensors.get(f"{wanted.name}.weight")
    if weight is None:
        return False
    expected = wanted.convolution.weight.shape
    if weight.shape != expected:
        raise ReconcileError(
            f"{source}: {wanted.name} has the shape {list(weight.shape)}, but a ResNet34 has {list(expected)}; "
            "only weights of ResNet18 and ResNet34 fit"
        )
    names = [f"{wanted.name}.bias"]
    if names[0] not in tensors:
        names = [f"{wanted.norm_name}.{name}" for name in _NORM_TENSORS]
    return all(name in tensors and len(tensors[name]) == len(weight) for name in names)


def _copy(tensors: dict[str, Tensor], convolutions: list[_Convolution]) -> list[nn.BatchNorm2d]:
    """Copy the weights of a block. Return the batch norms that are folded in the source; they have only a bias yet."""
    folded = []
    for name, convolution, norm_name, norm in convolutions:
        convolution.weight.copy_(tensors[f"{name}.weight"])
        bias = tensors.get(f"{name}.bias")
        if bias is not None:
            norm.bias.copy_(bias)
            folded.append(norm)
            continue
        for tensor in _NORM_TENSORS:
            getattr(norm, tensor).copy_(tensors[f"{norm_name}.{tensor}"])
    return folded


def _copy_last_layer(tensors: dict[str, Tensor], layer: nn.Linear) -> None:
    weight, bias = tensors.get("fc.weight"), tensors.get("fc.bias")
    if weight is not None and bias is not None and weight.shape == layer.weight.shape:
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)


def _neutralise_norms(norms: list[nn.BatchNorm2d], network: CountNetwork, pixels: NDArray[np.uint8]) -> None:
    """Set batch norms so that they only add their bias to the features of these pixels."""
    hooks = [norm.register_forward_hook(_neutralise) for norm in norms]
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


def _describe(source: str, taken: list[str], identities: list[str], untouched: list[str]) -> str:
    text = f"the training starts from {source}: {plural(len(taken), 'part')} of the network took its weights"
    if identities:
        text += f"; {', '.join(identities)} begin as the identity"
    if untouched:
        text += f"; {', '.join(untouched)} keep random weights"
    return text
