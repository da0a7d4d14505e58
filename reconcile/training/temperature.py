"""Temperature scaling: makes a probability of 70 % mean right in 70 of 100 cases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from reconcile.inference.calibration import calibrated

if TYPE_CHECKING:
    from numpy.typing import NDArray


def fit_temperature(
    logits: NDArray[np.float32], labels: NDArray[np.int64], taught: NDArray[np.float32] | None = None
) -> float:
    """The temperature T that makes the labels most likely (Guo et al. 2017, section 4.2).

    Args:
        logits: float32 [N, labels], of images that were not trained on.
        labels: int64 [N], the place of each image's true label.
        taught: what the network was taught to say of each label, float32 [labels, labels], to be undone as in counting.

    Returns:
        T, 0.2 to 5, to three digits; under 1 the model was too shy, over 1 too sure.
    """
    temperatures = np.exp(np.linspace(np.log(0.2), np.log(5.0), 641))
    if taught is not None:  # far more work for each; nobody needs more than two digits
        temperatures = temperatures[::4]
    losses = [negative_log_likelihood(logits, labels, temperature, taught) for temperature in temperatures]
    return round(float(temperatures[int(np.argmin(losses))]), 3)


def negative_log_likelihood(
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    temperature: float = 1.0,
    taught: NDArray[np.float32] | None = None,
) -> float:
    """Mean of −ln P(true label), in nats, calibrated by `temperature` and `taught`; see `calibration.calibrated`."""
    if taught is not None:
        shares = calibrated(logits, temperature, taught).astype(np.float64)
        return float(-np.log(shares[np.arange(len(labels)), labels]).mean())
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    log_shares = scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))
    return float(-log_shares[np.arange(len(labels)), labels].mean())
