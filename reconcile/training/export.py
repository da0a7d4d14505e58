"""Export a checkpoint to ONNX and verify it: convert, calibrate, verify, write."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime as ort
import torch

from reconcile.errors import ReconcileError
from reconcile.images import PREPROCESSING
from reconcile.inference.calibration import calibrated
from reconcile.inference.counter import load_predictor
from reconcile.inference.model import ModelCard
from reconcile.inference.precision import Precision
from reconcile.temporary import temporary_folder
from reconcile.training import checkpoint
from reconcile.training.conversion import BATCH, check_range, to_fp16, to_int8, to_onnx
from reconcile.training.dataset import load_arrays, read_training_data
from reconcile.training.network import CountNetwork, predict_logits
from reconcile.training.recipe import Recipe
from reconcile.training.soft_targets import mean_targets
from reconcile.training.temperature import fit_temperature, log_loss

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from reconcile.training.dataset import Arrays, TrainingData


_CALIBRATION_IMAGES = 512
"""The largest number of photos from which the ranges of activations are taken."""


@dataclass(frozen=True)
class Bound:
    """How much an exported model may differ from the network it came from."""

    difference: float
    """The largest accepted difference of any probability of any held-out photo."""
    agreement: float
    """The smallest accepted fraction of held-out photos with the same count."""


BOUNDS = {
    Precision.FP32: Bound(0.001, 0.999),
    Precision.FP16: Bound(0.01, 0.99),
    Precision.INT8: Bound(0.2, 0.90),
}


@dataclass(frozen=True)
class ExportSource:
    """A trained checkpoint and its photos."""

    checkpoint: Path
    """best.pt of a training."""
    data: Path
    """The folder of photos that it was trained on."""
    validation: Path | None = None
    """The folder of held-out photos, if the training had one."""
    cache: Path | None = None
    """The folder for decoded photos. None means cache/ beside the checkpoint."""


@dataclass(frozen=True)
class _Trained:
    """A trained network, and everything that is needed to calibrate and verify its exports."""

    recipe: Recipe
    network: CountNetwork
    size: int
    """S, the side of the input in pixels."""
    data: TrainingData
    data_fingerprint: str
    cache: Path
    held_out: Arrays
    truth: NDArray[np.int64]
    """The index of the true label of each held-out photo, int64 [N]."""
    logits: NDArray[np.float32]
    """The logits of the held-out photos by torch, float32 [N, labels]."""
    counts: NDArray[np.int64]
    """The items in each training photo, int64 [training photos]."""
    soft_targets: NDArray[np.float32] | None
    """The mean training target of each label, float32 [labels, labels]; None for hard labels."""


def export(
    source: ExportSource,
    destinations: dict[Precision, Path],
    info: Callable[[str], None],
    *,
    size: int | None = None,
) -> None:
    """Write ONNX files with uint8 [N, S, S, 3] as input and logits [N, labels] as output.

    The temperature of each file is fitted to its own logits of the held-out photos. Each file is compared with torch on
    all held-out photos.

    Args:
        source: the checkpoint and its photos. int8 takes the ranges of activations from up to 512 training photos.
        destinations: the file to write for each precision. fp32 is as trained. fp16 is for GPUs, and its weights have 8
            significant bits. int8 is for CPUs, in QDQ format with u8 activations and s8 weights per channel.
        info: called with one line per step.
        size: S, the side of the input in pixels. None means the size of the last stage. ResNets also count at other
            sizes. A smaller size is faster; `reconcile evaluate` measures its accuracy.

    Raises:
        ReconcileError: the checkpoint cannot be read, it was trained on other photos, or a file differs too much from
            torch. Such a file is not written.
    """
    trained = _load(source, size, info)
    with temporary_folder() as temporary:
        fp32 = temporary / "fp32.onnx"
        to_onnx(trained.network.eval(), trained.size, fp32)
        for precision, destination in destinations.items():
            path = _convert(precision, fp32, trained, info)
            temperature = _calibrate_and_verify(precision, path, trained, info)
            _write(path, _model_card(trained, temperature), destination, info)
            megabytes = destination.stat().st_size / 2**20
            info(f"{destination}: {precision}, {trained.size} px, {megabytes:.1f} MB")


def _load(source: ExportSource, size: int | None, info: Callable[[str], None]) -> _Trained:
    """Load the network and its photos, and count the held-out photos with torch.

    Raises:
        ReconcileError: the checkpoint cannot be read, or was trained on other photos.
    """
    state = checkpoint.load(source.checkpoint)
    recipe, size = Recipe.model_validate(state["recipe"]), size or int(state["size"])
    labels, cache = recipe.count_labels, source.cache or source.checkpoint.parent / "cache"
    data = read_training_data(source.data, recipe, source.validation, info)
    if data.fingerprint() != state["data_fingerprint"]:
        raise ReconcileError(f"{source.checkpoint} was trained on other photos than those of {source.data}")
    network = CountNetwork(len(labels.names))
    network.load_state_dict(state["weights"])
    held_out = load_arrays(data.held_out, size, cache, info)
    logits = predict_logits(network, held_out.pixels)
    counts = np.array([photo.count for photo in data.photos])
    means = mean_targets(torch.from_numpy(counts), labels, recipe.label_sigma).numpy() if recipe.label_sigma else None
    return _Trained(
        recipe=recipe,
        network=network,
        size=size,
        data=data,
        data_fingerprint=state["data_fingerprint"],
        cache=cache,
        held_out=held_out,
        truth=labels.indices_of(held_out.counts),
        logits=logits,
        counts=counts,
        soft_targets=means,
    )


def _convert(precision: Precision, fp32: Path, trained: _Trained, info: Callable[[str], None]) -> Path:
    """Convert the fp32 file to another precision, and return the new file.

    Raises:
        ReconcileError: half precision cannot hold the activations.
    """
    if precision is Precision.FP16:
        info(check_range(trained.network, trained.held_out.pixels[:_CALIBRATION_IMAGES]))
        return to_fp16(fp32)
    if precision is Precision.INT8:
        photos = trained.data.photos
        chosen = photos[:: -(-len(photos) // _CALIBRATION_IMAGES)]
        return to_int8(fp32, load_arrays(chosen, trained.size, trained.cache, info).pixels)
    return fp32


def _calibrate_and_verify(precision: Precision, path: Path, trained: _Trained, info: Callable[[str], None]) -> float:
    """Fit the temperature of a file, compare the file with torch, and return the temperature.

    Raises:
        ReconcileError: the file differs too much from torch.
    """
    logits = _predict_logits(path, trained.held_out.pixels)
    temperature = fit_temperature(logits, trained.truth, trained.soft_targets)
    probabilities = calibrated(logits, temperature, trained.soft_targets)
    info(_accuracy_line(precision, logits, probabilities, trained.truth, temperature))
    if _is_no_better_than_majority(probabilities, trained.truth):
        info(f"warning: {precision} is not better than a model that always answers the most frequent count")
    reference = calibrated(trained.logits, temperature, trained.soft_targets)
    info(check_bound(precision, probabilities, reference))
    return temperature


def check_bound(precision: Precision, probabilities: NDArray[np.float32], reference: NDArray[np.float32]) -> str:
    """Compare the probabilities of an exported model with those of torch.

    Args:
        precision: the precision, whose bound is checked.
        probabilities: the calibrated probabilities of the exported model, float32 [N, labels].
        reference: those of the network, float32 [N, labels].

    Returns:
        A line that states the differences.

    Raises:
        ReconcileError: the differences exceed the bound.
    """
    bound = BOUNDS[precision]
    difference = float(np.abs(probabilities - reference).max())
    photos = len(probabilities)
    changed = int((probabilities.argmax(axis=1) != reference.argmax(axis=1)).sum())
    line = (
        f"{precision} compared with torch on {photos} held-out photos: same count in {1 - changed / photos:.1%}, "
        f"probabilities differ by at most {difference:.4f}"
    )
    # With few photos, one or two changed counts mean nothing. The limit is two standard errors higher for this reason.
    error = math.sqrt(bound.agreement * (1 - bound.agreement) / photos)
    allowed = max(1, math.floor(photos * (1 - bound.agreement + 2 * error)))
    # The comparison is `not <=` instead of `>`, so that NaN exceeds every bound.
    if not (difference <= bound.difference and changed <= allowed):
        raise ReconcileError(
            f"{line}; at least {1 - allowed / photos:.1%} and at most {bound.difference} are required, so the file is "
            "not written"
        )
    return line


def _accuracy_line(
    precision: Precision,
    logits: NDArray[np.float32],
    probabilities: NDArray[np.float32],
    truth: NDArray[np.int64],
    temperature: float,
) -> str:
    accuracy = (probabilities.argmax(axis=1) == truth).mean()
    before = log_loss(logits, truth)
    after = float(-np.log(probabilities[np.arange(len(truth)), truth]).mean())
    return (
        f"{precision}: {accuracy:.1%} of {len(truth)} held-out photos correct; temperature {temperature}; "
        f"−ln P of the true label {before:.3f} before calibration, {after:.3f} after"
    )


def _is_no_better_than_majority(probabilities: NDArray[np.float32], truth: NDArray[np.int64]) -> bool:
    return bool((probabilities.argmax(axis=1) == truth).sum() <= np.bincount(truth).max())


def _predict_logits(path: Path, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    parts = [
        session.run(["logits"], {"images": np.array(pixels[start : start + BATCH])})[0]
        for start in range(0, len(pixels), BATCH)
    ]
    return np.concatenate(parts)


def _model_card(trained: _Trained, temperature: float) -> ModelCard:
    labels, targets = trained.recipe.count_labels, trained.soft_targets
    trained_on = labels.indices_of(trained.counts)
    prior = np.bincount(trained_on, minlength=len(labels.names)) / len(trained_on)
    return ModelCard(
        labels=labels,
        input_size=trained.size,
        temperature=temperature,
        class_prior=tuple(round(float(fraction), 5) for fraction in prior),
        version=trained.recipe.version,
        data_fingerprint=trained.data_fingerprint,
        preprocessing=PREPROCESSING,
        soft_targets=None if targets is None else tuple(tuple(round(float(p), 5) for p in row) for row in targets),
    )


def _write(path: Path, card: ModelCard, destination: Path, info: Callable[[str], None]) -> None:
    """Add the metadata to a file, check that it can be loaded, and copy it to its destination.

    Raises:
        ReconcileError: the file cannot be loaded.
    """
    model = onnx.load(path)
    onnx.helper.set_model_props(model, card.as_metadata())
    onnx.save(model, path)
    load_predictor(path, "cpu", info)
    destination.parent.mkdir(parents=True, exist_ok=True)
    partial = destination.with_name(f"{destination.name}.partial")
    shutil.copy(path, partial)
    partial.replace(destination)
