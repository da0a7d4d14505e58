"""Fit the temperature, so that of photos counted with 70 %, about 70 in 100 are correct."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from reconcile.inference.calibration import calibrated

if TYPE_CHECKING:
    from numpy.typing import NDArray


def fit_temperature(
    logits: NDArray[np.float32], truth: NDArray[np.int64], soft_targets: NDArray[np.float32] | None = None
) -> float:
    """Return the temperature T that makes the true labels most likely (Guo et al. 2017, section 4.2).

    The search uses a grid that is even in log T.

    Args:
        logits: the logits of images that were not trained on, float32 [N, labels].
        truth: the index of the true label of each image, int64 [N].
        soft_targets: the mean training target of each label, float32 [labels, labels]. Its spread is removed as in
            counting. None if the network was trained on hard labels.

    Returns:
        T between 0.2 and 5, rounded to three decimals. T is below 1 for an underconfident model, and above 1 for an
        overconfident one.
    """
    temperatures = np.exp(np.linspace(np.log(0.2), np.log(5.0), 641))
    if soft_targets is not None:  # each temperature takes far more work, and two digits are enough
        temperatures = temperatures[::4]
    losses = [log_loss(logits, truth, temperature, soft_targets) for temperature in temperatures]
    return round(float(temperatures[int(np.argmin(losses))]), 3)


def log_loss(
    logits: NDArray[np.float32],
    truth: NDArray[np.int64],
    temperature: float = 1.0,
    soft_targets: NDArray[np.float32] | None = None,
) -> float:
    """Return the mean of −ln P(true label) after calibration, in nats.

    Args:
        logits: float32 [N, labels].
        truth: the index of the true label of each image, int64 [N].
        temperature: see `calibration.calibrated`.
        soft_targets: see `calibration.calibrated`.
    """
    if soft_targets is not None:
        probabilities = calibrated(logits, temperature, soft_targets).astype(np.float64)
        return float(-np.log(probabilities[np.arange(len(truth)), truth]).mean())
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    log_probabilities = scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))
    return float(-log_probabilities[np.arange(len(truth)), truth].mean())
