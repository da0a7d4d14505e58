"""300 photos and their evaluation."""

import numpy as np
import pytest

from reconcile.metrics.classification import evaluate
from tests.unit.metrics.photos import SEVEN, Photos


@pytest.fixture(scope="module")
def photos():
    """Return 300 photos. The model counts about every second photo correctly."""
    rng = np.random.default_rng(11)
    counts = rng.integers(0, 12, size=300)
    probabilities = rng.dirichlet(np.full(7, 0.6), size=300)
    for row, count in zip(probabilities[::2], counts[::2], strict=True):
        row[min(count, 6)] += 1.5
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    squashed = [None if index % 5 == 0 else index % 3 == 0 for index in range(300)]
    return Photos(probabilities.astype(np.float32), counts.tolist(), squashed)


@pytest.fixture(scope="module")
def evaluation(photos):
    return evaluate(photos.probabilities, photos.counts, SEVEN, photos.squashed, seed=1)
