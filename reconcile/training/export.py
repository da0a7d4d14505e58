"""From a checkpoint to an ONNX file that carries all that is needed to use it."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from reconcile.counter import ModelCard
from reconcile.images import PREPROCESSING
from reconcile.training import data
from reconcile.training.calibrate import fit_temperature, negative_log_likelihood
from reconcile.training.network import CountNetwork
from reconcile.training.recipe import Recipe
from reconcile.training.train import label_indices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

_CALIBRATION_IMAGES = 512
_BATCH = 32


def export(
    checkpoint: Path, folder: Path, destination: Path, precision: str, report: Callable[[str], None] = print
) -> None:
    """Write the ONNX file: uint8 [N, S, S, 3] in, logits [N, labels] out.

    The temperature is fitted to the logits of the exported file itself, on the held-out fold.

    Args:
        checkpoint: best.pt of a training.
        folder: the images it was trained on; int8 takes its ranges from them.
        destination: the file to write.
        precision: fp32, or int8 in QDQ form (u8 activations, s8 weights per channel), which is faster on CPUs.
        report: called with one line a step.
    """
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    recipe, size = Recipe.model_validate(saved["recipe"]), int(saved["size"])
    labels = recipe.count_labels
    network = CountNetwork(len(labels.names))
    network.load_state_dict(saved["weights"])
    network.eval()
    training, validation = data.read_labels(folder, labels, recipe.validation_fold)
    pixels, counts = data.load_arrays(validation, size, checkpoint.parent / "cache")
    places = label_indices(counts, labels)

    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        plain = work / "fp32.onnx"
        _to_onnx(network, size, plain)
        reference = _logits(plain, pixels)
        with torch.inference_mode():
            torch_logits = network(torch.from_numpy(np.array(pixels[:_BATCH]))).numpy()
        report(
            f"largest difference to torch over {_BATCH} photos: {np.abs(reference[:_BATCH] - torch_logits).max():.1e}"
        )
        if precision == "int8":
            chosen = training[:: max(1, len(training) // _CALIBRATION_IMAGES)]
            _quantize(plain, work / "int8.onnx", data.load_arrays(chosen, size, work)[0])
            plain = work / "int8.onnx"
            logits = _logits(plain, pixels)
            agreement = (logits.argmax(axis=1) == reference.argmax(axis=1)).mean()
            report(f"int8 counts the same as fp32 in {agreement:.1%} of {len(places)} held-out photos")
        else:
            logits = reference
        temperature = fit_temperature(logits, places)
        accuracy = (logits.argmax(axis=1) == places).mean()
        report(f"{accuracy:.1%} of {len(places)} held-out photos right; temperature {temperature}")
        before, after = (negative_log_likelihood(logits, places, value) for value in (1.0, temperature))
        report(f"mean −ln P of the true label: {before:.3f}, {after:.3f} with it")
        trained_on = label_indices(np.array([image.count for image in training]), labels)
        prior = np.bincount(trained_on, minlength=len(labels.names)) / len(trained_on)
        card = ModelCard(
            labels=labels,
            input_size=size,
            temperature=temperature,
            class_prior=tuple(round(float(share), 5) for share in prior),
            version=recipe.version,
            data_fingerprint=data.fingerprint(training),
            preprocessing=PREPROCESSING,
        )
        model = onnx.load(plain)
        onnx.helper.set_model_props(model, card.as_metadata())
        destination.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(model, destination)
    report(f"{destination}: {precision}, {size} px, {destination.stat().st_size / 2**20:.1f} MB")


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


def _quantize(source: Path, destination: Path, pixels: NDArray[np.uint8]) -> None:
    """Static quantisation, as onnxruntime's documentation recommends it for convolutional networks on CPUs."""
    prepared = destination.with_suffix(".prepared.onnx")
    quant_pre_process(source, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared,
        destination,
        _Batches(pixels),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        # The first lines of the graph only cast and scale pixels.
        op_types_to_quantize=["Conv", "Add", "MaxPool", "GlobalAveragePool", "ReduceMean", "Gemm", "MatMul", "Relu"],
    )


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
