"""Read the weights that a training starts from: exported models, torchvision's weights and numpy archives."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor
from torchvision.models import ResNet34_Weights

from reconcile.errors import ReconcileError, first_line
from reconcile.inference.external_data import refuse_external_data
from reconcile.training.recipe import TORCHVISION

if TYPE_CHECKING:
    from collections.abc import Mapping


_EXPORT_PREFIX = "resnet."
_NESTED = ("state_dict", "model", "network")
"""Names under which checkpoints of common training scripts keep their weights."""
_WRAPPERS = ("module.", _EXPORT_PREFIX)
"""Prefixes that a wrapper such as DistributedDataParallel puts before each name."""


def read_start_weights(source: str) -> dict[str, Tensor]:
    """Read weights by torchvision's names, such as `layer1.0.conv1.weight`.

    A convolution with a `bias` has the batch norm behind it folded in. Otherwise the batch norm has names of its own,
    such as `layer1.0.bn1.weight`.

    Args:
        source: the path of an ONNX file that `reconcile export` wrote, of a state dict (.pt or .pth), or of a numpy
            archive (.npz). Or `torchvision:NAME` for weights of ResNet34 that torchvision publishes.

    Returns:
        the weights, as float32 on the CPU.

    Raises:
        ReconcileError: the file does not exist or holds no weights, or torchvision cannot provide them. Or an ONNX file
            keeps weights in other files.
    """
    if source.startswith(TORCHVISION):
        return _floats(_published(source.removeprefix(TORCHVISION)))
    path = Path(source)
    if not path.is_file():
        raise ReconcileError(f"there is no file {path} to start from")
    ending = path.suffix.lower()
    if ending == ".npz":
        return _floats(_read_archive(path))
    if ending in (".pt", ".pth"):
        return _floats(_read_state_dict(path))
    return _read_exported(path)


def _published(name: str) -> Mapping[str, Any]:
    """Return weights that torchvision publishes. The first use downloads them into torch's cache."""
    known = ResNet34_Weights.__members__
    if name not in known:
        raise ReconcileError(f"torchvision has no weights {name} for ResNet34; it has {', '.join(known)}")
    try:
        weights: Mapping[str, Any] = known[name].get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:  # no network, a full disk, or a file with another hash
        raise ReconcileError(
            f"torchvision's weights {name} cannot be loaded: {first_line(error)}; without a network, name a file"
        ) from None
    return weights


def _read_archive(path: Path) -> Mapping[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: torch.from_numpy(archive[name]) for name in archive.files}
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ReconcileError(f"{path} is not a numpy archive of weights: {first_line(error)}") from None


def _read_state_dict(path: Path) -> Mapping[str, Any]:
    """Read a state dict, or the state dict within a checkpoint. Code in the file is not run."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever a damaged file leads to
        raise ReconcileError(f"{path} is not a state dict of torch: {first_line(error)}") from None
    for name in _NESTED:
        if isinstance(state, dict) and isinstance(state.get(name), dict):
            state = state[name]
    if not isinstance(state, dict):
        raise ReconcileError(f"{path} is not a state dict of torch: it holds a {type(state).__name__}")
    return {_unwrapped(str(name)): value for name, value in state.items()}


def _unwrapped(name: str) -> str:
    for prefix in _WRAPPERS:
        name = name.removeprefix(prefix)
    return name


def _floats(tensors: Mapping[str, Any]) -> dict[str, Tensor]:
    """Keep the tensors of floating-point numbers, as float32."""
    return {
        name: value.detach().float()
        for name, value in tensors.items()
        if isinstance(value, Tensor) and value.is_floating_point()
    }


def _read_exported(path: Path) -> dict[str, Tensor]:
    """Read the constants of a graph that `reconcile export` wrote. Quantised constants are dequantised."""
    refuse_external_data(path)
    try:
        graph = onnx.load(path, load_external_data=False).graph
    except Exception:  # protobuf has its own classes of errors
        raise ReconcileError(f"{path} is not an ONNX file") from None
    raw = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    constants = {name: value.astype(np.float32) for name, value in raw.items() if value.dtype.kind == "f"}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in raw:
            quantised, scale = raw[node.input[0]], raw[node.input[1]]
            zero = raw[node.input[2]] if len(node.input) > 2 else np.zeros_like(scale)
            shape = (-1, *(1,) * (quantised.ndim - 1))
            value = (quantised.astype(np.float32) - zero.reshape(shape)) * scale.reshape(shape)
            constants[node.output[0].removesuffix("_DequantizeLinear_Output")] = value.astype(np.float32)
    return {
        # The export calls the bias of a convolution with a folded batch norm weight_bias.
        name.removeprefix(_EXPORT_PREFIX).replace(".weight_bias", ".bias"): torch.from_numpy(value)
        for name, value in constants.items()
    }
