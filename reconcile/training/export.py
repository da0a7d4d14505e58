"""From a checkpoint to ONNX files that carry all that is needed to use them."""

from __future__ import annotations

import math
import shutil
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16

from reconcile.datasets import labelled
from reconcile.errors import ReconcileError
from reconcile.images import PREPROCESSING
from reconcile.inference.calibration import calibrated
from reconcile.inference.counter import load_predictor
from reconcile.inference.model import ModelCard
from reconcile.inference.precision import Precision
from reconcile.training import checkpoint
from reconcile.training.dataset import load_arrays, read_training_data
from reconcile.training.network import CountNetwork, predict_logits
from reconcile.training.recipe import Recipe
from reconcile.training.soft_targets import mean_targets
from reconcile.training.temperature import fit_temperature, log_loss

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray


_CALIBRATION_IMAGES = 512
_BATCH = 32


@dataclass(frozen=True)
class Bound:
    """How far an exported model may be from the network it came from."""

    difference: float
    """Largest difference in any probability of any held-out photo."""
    agreement: float
    """Share of the held-out photos that must be counted the same."""


BOUNDS = {
    Precision.FP32: Bound(0.001, 0.999),
    Precision.FP16: Bound(0.01, 0.99),
    Precision.INT8: Bound(0.2, 0.90),
}


def export(
    saved: Path,
    folder: Path,
    destinations: dict[Precision, Path],
    say: Callable[[str], None],
    *,
    validation: Path | None = None,
    cache: Path | None = None,
    size: int | None = None,
) -> None:
    """Write ONNX files: uint8 [N, S, S, 3] in, logits [N, labels] out.

    Each is held against torch on every held-out photo, and its temperature is fitted to its own logits there.

    Args:
        saved: best.pt of a training.
        folder: the photos it was trained on; int8 takes its ranges from up to 512 of them.
        destinations: the file to write for each precision. fp32 is as trained; fp16 is for GPUs, its weights with 8
            significant bits; int8, in QDQ form (u8 activations, s8 weights per channel), is for CPUs.
        say: called with one line a step.
        validation: the folder of held-out photos, where the training had one of its own.
        cache: where decoded arrays are kept; beside `saved` by default.
        size: side of the input in pixels; the one of the last stage by default. ResNets count at other sizes too:
            smaller is faster, and how much worse is for `reconcile evaluate` to say.

    Raises:
        ReconcileError: no checkpoint, other photos than it was trained on, or a file that breaks its bound: it is not
            written then.
    """
    state = checkpoint.load(saved)
    recipe, size = Recipe.model_validate(state["recipe"]), size or int(state["size"])
    labels, cache = recipe.count_labels, cache or saved.parent / "cache"
    found = read_training_data(folder, recipe, validation, say)
    if labelled.fingerprint([*found.photos, *found.held_out]) != state["data_fingerprint"]:
        raise ReconcileError(f"{saved} was trained on other photos than those of {folder}")
    network = CountNetwork(len(labels.names))
    network.load_state_dict(state["weights"])
    held_out = load_arrays(found.held_out, size, cache, say)
    right = labels.indices_of(held_out.counts)
    reference = predict_logits(network, held_out.pixels)
    counts = np.array([photo.count for photo in found.photos])
    taught = mean_targets(torch.from_numpy(counts), labels, recipe.label_sigma).numpy() if recipe.label_sigma else None

    with tempfile.TemporaryDirectory() as temporary:
        plain = Path(temporary) / "fp32.onnx"
        _to_onnx(network.eval(), size, plain)
        for precision, destination in destinations.items():
            made = plain
            if precision is Precision.FP16:
                say(_check_range(network, held_out.pixels[:_CALIBRATION_IMAGES]))
                made = _to_fp16(plain)
            elif precision is Precision.INT8:
                chosen = found.photos[:: -(-len(found.photos) // _CALIBRATION_IMAGES)]
                made = _quantize(plain, load_arrays(chosen, size, cache, say).pixels)
            logits = _logits(made, held_out.pixels)
            temperature = fit_temperature(logits, right, taught)
            shares = calibrated(logits, temperature, taught)
            say(_quality(precision, logits, shares, right, temperature))
            if _is_no_better_than_one_count(shares, right):
                say(f"warning: {precision} is right no more often than who always says the most frequent count")
            say(check_bound(precision, shares, calibrated(reference, temperature, taught)))
            trained_on = labels.indices_of(counts)
            prior = np.bincount(trained_on, minlength=len(labels.names)) / len(trained_on)
            card = ModelCard(
                labels=labels,
                input_size=size,
                temperature=temperature,
                class_prior=tuple(round(float(share), 5) for share in prior),
                version=recipe.version,
                data_fingerprint=state["data_fingerprint"],
                preprocessing=PREPROCESSING,
                soft_targets=None
                if taught is None
                else tuple(tuple(round(float(x), 5) for x in row) for row in taught),
            )
            model = onnx.load(made)
            onnx.helper.set_model_props(model, card.as_metadata())
            onnx.save(model, made)
            load_predictor(made, "cpu", say)
            destination.parent.mkdir(parents=True, exist_ok=True)
            partial = destination.with_name(f"{destination.name}.partial")
            shutil.copy(made, partial)
            partial.replace(destination)
            say(f"{destination}: {precision}, {size} px, {destination.stat().st_size / 2**20:.1f} MB")


def check_bound(precision: Precision, shares: NDArray[np.float32], reference: NDArray[np.float32]) -> str:
    """Hold an exported model's answers against torch's.

    Args:
        precision: whose bound.
        shares: float32 [N, labels], calibrated probabilities of the exported model.
        reference: the same of the network it came from.

    Returns:
        a line that says how close they are.

    Raises:
        ReconcileError: not close enough.
    """
    bound = BOUNDS[precision]
    difference = float(np.abs(shares - reference).max())
    photos, otherwise = len(shares), int((shares.argmax(axis=1) != reference.argmax(axis=1)).sum())
    line = (
        f"{precision} against torch on {photos} held-out photos: the same count in {1 - otherwise / photos:.1%}, "
        f"probabilities at most {difference:.4f} apart"
    )
    # Of few photos, one or two that are counted otherwise are no sign of anything: two standard errors are granted.
    error = math.sqrt(bound.agreement * (1 - bound.agreement) / photos)
    allowed = max(1, math.floor(photos * (1 - bound.agreement + 2 * error)))
    # `not <=` and not `>`: NaN breaks every bound.
    if not (difference <= bound.difference and otherwise <= allowed):
        raise ReconcileError(f"{line}; allowed are {1 - allowed / photos:.1%} and {bound.difference}")
    return line


def _quality(
    precision: Precision,
    logits: NDArray[np.float32],
    shares: NDArray[np.float32],
    right: NDArray[np.int64],
    temperature: float,
) -> str:
    accuracy = (shares.argmax(axis=1) == right).mean()
    before = log_loss(logits, right)
    after = float(-np.log(shares[np.arange(len(right)), right]).mean())
    return (
        f"{precision}: {accuracy:.1%} of {len(right)} held-out photos right; temperature {temperature}, "
        f"−ln P of the true label {before:.3f}, {after:.3f} calibrated"
    )


def _is_no_better_than_one_count(shares: NDArray[np.float32], right: NDArray[np.int64]) -> bool:
    return bool((shares.argmax(axis=1) == right).sum() <= np.bincount(right).max())


def _to_onnx(network: CountNetwork, size: int, path: Path) -> None:
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


def _check_range(network: CountNetwork, pixels: NDArray[np.uint8]) -> str:
    """Half precision holds nothing over 65,504. A CPU computes it in float32, where an overflow would not show.

    Raises:
        ReconcileError: an activation of these photos comes within a factor of eight of that.
    """
    largest = 0.0

    def watch(_: torch.nn.Module, __: object, output: torch.Tensor) -> None:
        nonlocal largest
        largest = max(largest, float(output.abs().max()))

    hooks = [module.register_forward_hook(watch) for module in network.modules()]
    predict_logits(network, pixels)
    for hook in hooks:
        hook.remove()
    line = f"fp16: the largest activation over {len(pixels)} held-out photos is {largest:.0f}"
    if not largest < torch.finfo(torch.float16).max / 8:
        raise ReconcileError(f"{line}, too close to the 65,504 that half precision holds")
    return line


def _to_fp16(source: Path) -> Path:
    """Half-precision weights and activations from the pixels on; logits leave as float32.

    Written for GPUs and tried out on the CPU, where onnxruntime computes most of it in float32.
    """
    destination = source.with_name("fp16.onnx")
    model = convert_float_to_float16(onnx.load(source), keep_io_types=True)
    for initializer in model.graph.initializer:
        values = onnx.numpy_helper.to_array(initializer)
        if values.dtype == np.float16 and values.ndim > 1:
            initializer.CopyFrom(onnx.numpy_helper.from_array(_shortened(values), initializer.name))
    onnx.save(model, destination)
    return destination


def _shortened(values: NDArray[np.float16]) -> NDArray[np.float16]:
    """Rounded to the 8 significant bits that bfloat16 has of the 11 of half precision, ties to even.

    Networks are trained with as many; and the file gets a sixth smaller where it is compressed, in git and in a wheel.
    """
    bits = values.view(np.uint16)
    odd = (bits >> 3) & np.uint16(1)
    rounded: NDArray[np.float16] = ((bits + np.uint16(3) + odd) >> 3 << 3).view(np.float16)
    return rounded


def _quantize(source: Path, pixels: NDArray[np.uint8]) -> Path:
    """Static quantisation, as onnxruntime's documentation recommends it for convolutional networks on CPUs.

    Weights get 7 of their 8 bits: a CPU without VNNI adds products in pairs, in 16 bits, where two of 8 bits overflow
    without a word (vpmaddubsw; onnxruntime's documentation, "reduce_range"). With 7 it counts the same on every CPU.
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
        # The first lines of the graph only cast and scale pixels; what follows the convolutions is too little work to
        # gain anything from 8 bits, and loses by them: 256 steps for means of which most are small, and for logits.
        op_types_to_quantize=["Conv", "Add", "MaxPool", "Relu"],
    )
    return destination


class _Batches(CalibrationDataReader):  # type: ignore[misc]
    """Feeds real photos to the quantiser, which watches the range of every activation."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._batches: Iterator[NDArray[np.uint8]] = (
            np.array(pixels[start : start + _BATCH]) for start in range(0, len(pixels), _BATCH)
        )

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """The next batch, None at the end."""
        batch = next(self._batches, None)
        return None if batch is None else {"images": batch}


def _logits(path: Path, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    parts = [
        session.run(["logits"], {"images": np.array(pixels[start : start + _BATCH])})[0]
        for start in range(0, len(pixels), _BATCH)
    ]
    return np.concatenate(parts)
