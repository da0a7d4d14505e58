"""Bins with true labels and calibrated probabilities."""

import numpy as np

from reconcile.evaluation.planted.benchmark import evaluate_planted
from reconcile.labels import CountLabels

SEVEN = CountLabels(("0", "1", "2", "3", "4", "5", "6+"))
CLOSED = CountLabels(("0", "1", "2", "3", "4", "5"))
TWO = CountLabels(("0", "1+"))


def random_bins(bins, seed=1, labels=SEVEN):
    """Return calibrated probabilities and the truth. The model sees a blurred count, and some bins are blurred more."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, len(labels.names), size=bins)
    blur = rng.choice([0.4, 0.8, 1.6], size=bins)
    seen = truth + rng.normal(0, 1, size=bins) * blur
    probabilities = np.exp(-((np.arange(len(labels.names)) - seen[:, None]) ** 2) / (2 * blur[:, None] ** 2))
    return probabilities / probabilities.sum(axis=1, keepdims=True), truth


def benchmark(bins=600, seed=1, labels=SEVEN, rate=0.08, probabilities=None):
    """Return the result of the benchmark on random bins, with other probabilities if they are given."""
    calibrated, truth = random_bins(bins, seed, labels)
    prior = (1 / len(labels.names),) * len(labels.names)
    return evaluate_planted(calibrated if probabilities is None else probabilities, truth, labels, prior, rate, seed)
