"""A count model's file and metadata. Nothing is loaded for counting."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reconcile.errors import ReconcileError
from reconcile.images import PREPROCESSING
from reconcile.inference.external_data import refuse_external_data
from reconcile.inference.onnx_sessions import read_metadata
from reconcile.inference.precision import Precision
from reconcile.labels import CountLabels
from reconcile.resources import resource

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


METADATA_PREFIX = "reconcile."
VERSION_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}")
"""The form of a model's version, which becomes the name of a folder."""
_KEYS = {"soft_targets": "taught"}
"""Fields of `ModelCard` whose metadata entry has another name."""


@dataclass(frozen=True)
class ModelCard:
    """The metadata of a count model, as its ONNX file holds it."""

    labels: CountLabels
    input_size: int
    """S, the side of the input uint8 [N, S, S, 3] in pixels."""
    temperature: float
    """T, by which logits are divided before the softmax; see `calibration.calibrated`."""
    class_prior: tuple[float, ...]
    """The fraction of each label in the training photos, [labels]."""
    version: str
    data_fingerprint: str
    """The fingerprint of the training data; see `labelled.fingerprint`."""
    preprocessing: str
    """The name of the preprocessing function of `reconcile.images`."""
    soft_targets: tuple[tuple[float, ...], ...] | None = None
    """The mean training target of each label, [labels, labels]; see `calibration.deconvolve`.

    None if the network was trained on hard labels, or by a version of reconcile that did not write the targets.
    """

    def as_metadata(self) -> dict[str, str]:
        """Return the ONNX metadata entries. Each value is JSON."""
        values: dict[str, Any] = {
            "labels": self.labels.names,
            "input_size": self.input_size,
            "temperature": self.temperature,
            "class_prior": self.class_prior,
            "version": self.version,
            "data_fingerprint": self.data_fingerprint,
            "preprocessing": self.preprocessing,
            "taught": self.soft_targets,
        }
        return {METADATA_PREFIX + name: json.dumps(value) for name, value in values.items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> ModelCard:
        """Parse ONNX metadata entries.

        Raises:
            KeyError, ValueError, TypeError: an entry is missing or malformed.
        """
        entries = {METADATA_PREFIX + "taught": "null", **metadata}
        keys = [_KEYS.get(name, name) for name in cls.__dataclass_fields__]
        values = {key: json.loads(entries[METADATA_PREFIX + key]) for key in keys}
        if not 0 < values["temperature"] < float("inf"):
            raise ValueError("the temperature is not a positive number")
        if not VERSION_FORM.fullmatch(values["version"]):
            raise ValueError("the version cannot be the name of a folder")
        return cls(
            labels=CountLabels(tuple(values["labels"])),
            input_size=int(values["input_size"]),
            temperature=float(values["temperature"]),
            class_prior=tuple(float(fraction) for fraction in values["class_prior"]),
            version=str(values["version"]),
            data_fingerprint=str(values["data_fingerprint"]),
            preprocessing=str(values["preprocessing"]),
            soft_targets=_parse_soft_targets(values["taught"], len(values["labels"])),
        )


def _parse_soft_targets(rows: Any, labels: int) -> tuple[tuple[float, ...], ...] | None:
    if rows is None:
        return None
    targets = tuple(tuple(float(p) for p in row) for row in rows)
    if len(targets) != labels or any(len(row) != labels or abs(sum(row) - 1) > 0.01 for row in targets):
        raise ValueError("the soft targets are not a matrix of labels by labels with rows that sum to 1")
    return targets


@dataclass(frozen=True)
class CountModel:
    """A model's file and its metadata."""

    path: Path
    card: ModelCard
    model_id: str
    """The version and a digest of the file. Counts are stored and looked up by it."""


def read_model(path: Path) -> CountModel:
    """Read the metadata of a model file.

    Raises:
        ReconcileError: the file does not exist, is not a count model, keeps weights in other files, or needs another
            preprocessing of images.
    """
    if not path.is_file():
        raise ReconcileError(f"there is no model file {path}")
    refuse_external_data(path)
    try:
        card = ModelCard.from_metadata(read_metadata(path))
    except (KeyError, ValueError, TypeError, AttributeError):
        raise ReconcileError(
            f"{path} is not a count model: it lacks the metadata that `reconcile export` writes"
        ) from None
    if card.preprocessing != PREPROCESSING:
        raise ReconcileError(
            f"{path} needs images prepared by {card.preprocessing!r}, but this version of reconcile prepares them by "
            f"{PREPROCESSING!r}"
        )
    return CountModel(path, card, f"{card.version}-{_digest(path)}")


def default_model(device: str) -> Path:
    """Return the shipped model that suits a device: int8 for the CPU, fp16 for a GPU.

    Args:
        device: cpu, cuda or tensorrt.

    Raises:
        ReconcileError: this installation ships no such model.
    """
    precision = Precision.INT8 if device == "cpu" else Precision.FP16
    path = resource("models", f"bin-counter-{precision}.onnx")
    if not path.is_file():
        raise ReconcileError(f"the shipped model {path} does not exist; name a model with --model")
    return path


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]
