"""A count model as its ONNX file tells it: its name, what it knows, where it lies. Nothing is loaded to count."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reconcile.errors import ReconcileError
from reconcile.images import PREPROCESSING
from reconcile.inference.onnx_sessions import read_metadata
from reconcile.inference.precision import Precision
from reconcile.labels import CountLabels
from reconcile.resources import resource

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


METADATA_PREFIX = "reconcile."
VERSION_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}")
"""A model's version becomes the name of a folder."""


@dataclass(frozen=True)
class ModelCard:
    """What a count model says of itself in its ONNX metadata."""

    labels: CountLabels
    input_size: int
    """S of the input uint8 [N, S, S, 3]."""
    temperature: float
    """Logits are divided by it before the softmax (Guo et al. 2017, On Calibration of Modern Neural Networks)."""
    class_prior: tuple[float, ...]
    """Share of each label in the training photos."""
    version: str
    data_fingerprint: str
    preprocessing: str
    soft_targets: tuple[tuple[float, ...], ...] | None = None
    """What the network was taught to say of each label, labels by labels; see `calibration.undo_teaching`. None where
    it was taught the labels as they are, or by a version that did not write it down."""

    def as_metadata(self) -> dict[str, str]:
        """The ONNX metadata entries, each value JSON."""
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
        """Read the entries back.

        Raises:
            KeyError, ValueError, TypeError: an entry is missing or malformed.
        """
        entries = {METADATA_PREFIX + "taught": "null", **metadata}
        keys = [{"soft_targets": "taught"}.get(name, name) for name in cls.__dataclass_fields__]
        found = {key: json.loads(entries[METADATA_PREFIX + key]) for key in keys}
        if not 0 < found["temperature"] < float("inf"):
            raise ValueError("the temperature is no positive number")
        if not VERSION_FORM.fullmatch(found["version"]):
            raise ValueError("the version becomes the name of a folder")
        return cls(
            labels=CountLabels(tuple(found["labels"])),
            input_size=int(found["input_size"]),
            temperature=float(found["temperature"]),
            class_prior=tuple(float(share) for share in found["class_prior"]),
            version=str(found["version"]),
            data_fingerprint=str(found["data_fingerprint"]),
            preprocessing=str(found["preprocessing"]),
            soft_targets=_shares(found["taught"], len(found["labels"])),
        )


def _shares(rows: Any, labels: int) -> tuple[tuple[float, ...], ...] | None:
    if rows is None:
        return None
    shares = tuple(tuple(float(share) for share in row) for row in rows)
    if len(shares) != labels or any(len(row) != labels or abs(sum(row) - 1) > 0.01 for row in shares):
        raise ValueError("what was taught is no share for each pair of labels")
    return shares


@dataclass(frozen=True)
class CountModel:
    """A model's file, and what it says of itself."""

    path: Path
    card: ModelCard
    model_id: str
    """Names these very weights: counts are kept and found again under it."""


def read_model(path: Path) -> CountModel:
    """What a file says of itself.

    Raises:
        ReconcileError: no such file, not one of ours, or one that wants its images prepared in another way.
    """
    if not path.is_file():
        raise ReconcileError(f"there is no model file {path}")
    try:
        card = ModelCard.from_metadata(read_metadata(path))
    except (KeyError, ValueError, TypeError, AttributeError):
        raise ReconcileError(f"{path} is no count model: it lacks what `reconcile export` writes into it") from None
    if card.preprocessing != PREPROCESSING:
        raise ReconcileError(
            f"{path} wants its images prepared by {card.preprocessing!r}; this reconcile has {PREPROCESSING!r}"
        )
    return CountModel(path, card, f"{card.version}-{_digest(path)}")


def default_model(device: str) -> Path:
    """The shipped model that suits a device best: int8 on a CPU, fp16 on a GPU.

    Raises:
        ReconcileError: none is shipped with this installation.
    """
    precision = Precision.INT8 if device == "cpu" else Precision.FP16
    path = resource("models", f"bin-counter-{precision}.onnx")
    if not path.is_file():
        raise ReconcileError(f"there is no {path}; name a model with --model")
    return path


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]
