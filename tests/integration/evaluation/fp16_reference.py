"""Recorded probabilities of the shipped fp16 file for each photo of `night`. A CPU takes minutes to count them all.

Record them again after a new model: python -m tests.integration.evaluation.fp16_reference
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reconcile.datasets.labelled import LabelledImage, fingerprint, read_labelled
from reconcile.evaluation.run import count_labelled
from reconcile.inference.counter import CountPredictor, load_predictor
from reconcile.resources import resource
from tests.conftest import SHARED

FILE = Path(__file__).with_name("fp16_reference.npz")


class Recorded(NamedTuple):
    """The model, the fingerprint of the photos, and the probabilities, float32 [photos, labels]."""

    model_id: str
    data_fingerprint: str
    probabilities: NDArray[np.float32]


def recorded() -> Recorded:
    """Read the recording."""
    with np.load(FILE) as kept:
        return Recorded(str(kept["model_id"]), str(kept["photos"]), kept["probabilities"].astype(np.float32))


def night_photos() -> list[LabelledImage]:
    """Return the photos of `night` in the order of the recording."""
    return read_labelled(SHARED / "night", print)


def fp16_predictor() -> CountPredictor:
    """Load the shipped fp16 file."""
    return load_predictor(resource("models", "bin-counter-fp16.onnx"), "cpu", print)


def count_all(predictor: CountPredictor, photos: list[LabelledImage]) -> NDArray[np.float32]:
    """Return the probabilities of photos, counted now."""
    probabilities, unreadable, _ = count_labelled(photos, predictor, lambda _: None)
    assert not unreadable
    return probabilities


if __name__ == "__main__":
    photos, predictor = night_photos(), fp16_predictor()
    counted = count_all(predictor, photos).astype(np.float16)
    np.savez_compressed(FILE, model_id=predictor.model_id, photos=fingerprint(photos), probabilities=counted)
