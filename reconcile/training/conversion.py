"""Convert a trained network to ONNX, and to fp16 and int8."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16

from reconcile.errors import ReconcileError
from reconcile.training.network import predict_logits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from reconcile.training.network import CountNetwork


BATCH = 32
"""The number of images in one pass through an ONNX file."""


def to_onnx(network: CountNetwork, size: int, path: Path) -> None:
    """Write a network as an fp32 ONNX file.

    Its input `images` is uint8 [N, S, S, 3], and its output `logits` is float32 [N, labels].

    Args:
        network: the network in evaluation mode, on the CPU.
        size: S, the side of the input in pixels.
        path: the file to write.
    """
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (example,),
            path,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes={"pixels": {0: torch.export.Dim("N", min=1)}},
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def check_range(network: CountNetwork, pixels: NDArray[np.uint8]) -> str:
    """Check that half precision can hold all activations, up to 65,504.

    A CPU computes half precision in float32, where an overflow would not show.

    Args:
        network: the network.
        pixels: images, uint8 [N, S, S, 3].

    Returns:
        A line that states the largest activation.

    Raises:
        ReconcileError: an activation is larger than an eighth of the limit.
    """
    largest = 0.0

    def update_largest(_: torch.nn.Module, __: object, output: torch.Tensor) -> None:
        nonlocal largest
        largest = max(largest, float(output.abs().max()))

    hooks = [module.register_forward_hook(update_largest) for module in network.modules()]
    predict_logits(network, pixels)
    for hook in hooks:
        hook.remove()
    line = f"fp16: the largest activation over {len(pixels)} held-out photos is {largest:.0f}"
    if not largest < torch.finfo(torch.float16).max / 8:
        raise ReconcileError(f"{line}, which is too close to 65,504, the limit of half precision; export int8 or fp32")
    return line


def to_fp16(source: Path) -> Path:
    """Convert an fp32 file to half-precision weights and activations. The logits stay float32.

    The result is for GPUs. Not yet run on a GPU; tested on the CPU, where ONNX Runtime computes most of it in float32.

    Args:
        source: the fp32 file.

    Returns:
        the fp16 file, in the same folder.
    """
    destination = source.with_name("fp16.onnx")
    model = convert_float_to_float16(onnx.load(source), keep_io_types=True)
    for initializer in model.graph.initializer:
        values = onnx.numpy_helper.to_array(initializer)
        if values.dtype == np.float16 and values.ndim > 1:
            initializer.CopyFrom(onnx.numpy_helper.from_array(_round_to_8_bits(values), initializer.name))
    onnx.save(model, destination)
    return destination


def _round_to_8_bits(values: NDArray[np.float16]) -> NDArray[np.float16]:
    """Round to 8 of the 11 significant bits of half precision, ties to even.

    bfloat16 also has 8 significant bits, and networks are trained with it. The file is smaller after compression, which
    git and wheels use.
    """
    bits = values.view(np.uint16)
    odd = (bits >> 3) & np.uint16(1)
    rounded: NDArray[np.float16] = ((bits + np.uint16(3) + odd) >> 3 << 3).view(np.float16)
    return rounded


def to_int8(source: Path, pixels: NDArray[np.uint8]) -> Path:
    """Quantise an fp32 file statically, as ONNX Runtime's documentation recommends for convolutional networks on CPUs.

    The format is QDQ, with u8 activations and s8 weights per channel. Weights use 7 of their 8 bits. A CPU without VNNI
    adds products in pairs, in 16 bits, where the sum of two 8-bit products overflows silently (instruction vpmaddubsw;
    see "reduce_range" in ONNX Runtime's documentation). With 7 bits, all CPUs count alike.

    Args:
        source: the fp32 file.
        pixels: images from which the ranges of activations are taken, uint8 [N, S, S, 3].

    Returns:
        the int8 file, in the same folder.
    """
    destination, prepared = source.with_name("int8.onnx"), source.with_name("prepared.onnx")
    quant_pre_process(source, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared,
        destination,
        _Batches(pixels),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        # Nodes before the convolutions only cast and scale pixels. Nodes after them are too little work to gain from 8
        # bits, and they would lose accuracy: 256 steps are few for means that are mostly small, and for logits.
        op_types_to_quantize=["Conv", "Add", "MaxPool", "Relu"],
    )
    return destination


class _Batches(CalibrationDataReader):  # type: ignore[misc]
    """Batches of images for the quantiser, which records the range of every activation.

    Args:
        pixels: uint8 [N, S, S, 3].
    """

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._batches: Iterator[NDArray[np.uint8]] = (
            np.array(pixels[start : start + BATCH]) for start in range(0, len(pixels), BATCH)
        )

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """Return the next batch, or None at the end."""
        batch = next(self._batches, None)
        return None if batch is None else {"images": batch}
