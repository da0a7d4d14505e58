"""What the shipped fp16 file says of each photo of the night, kept in a file: a CPU takes minutes for all of them.

After a new model: python -m tests.integration.evaluation.fp16_reference
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
    """What was counted, by which model, and its probabilities: float32 [photos, labels]."""

    model_id: str
    data_fingerprint: str
    probabilities: NDArray[np.float32]


def recorded() -> Recorded:
    """What the file holds."""
    with np.load(FILE) as kept:
        return Recorded(str(kept["model_id"]), str(kept["photos"]), kept["probabilities"].astype(np.float32))


def night_photos() -> list[LabelledImage]:
    """The photos of the night, in their order in the file."""
    return read_labelled(SHARED / "night", print)


def fp16_counter() -> CountPredictor:
    """The shipped file."""
    return load_predictor(resource("models", "bin-counter-fp16.onnx"), "cpu", print)


def says(counter: CountPredictor, photos: list[LabelledImage]) -> NDArray[np.float32]:
    """Probabilities of photos, counted now."""
    probabilities, unreadable = count_labelled(photos, counter, lambda _: None)
    assert not unreadable
    return probabilities


if __name__ == "__main__":
    photos, counter = night_photos(), fp16_counter()
    found = says(counter, photos).astype(np.float16)
    np.savez_compressed(FILE, model_id=counter.model_id, photos=fingerprint(photos), probabilities=found)
