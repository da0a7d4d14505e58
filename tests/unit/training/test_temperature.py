"""The fit of the temperature."""

import numpy as np
import pytest

from reconcile.training.temperature import fit_temperature, log_loss


def test_temperature_of_scaled_logits_is_recovered():
    rng = np.random.default_rng(5)
    logits = rng.normal(0, 2, (4000, 5)).astype(np.float32)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = np.array([rng.choice(5, p=row / row.sum()) for row in probabilities.astype(np.float64)])
    temperature = fit_temperature(3 * logits, truth)
    assert temperature == pytest.approx(3, rel=0.1)
    assert log_loss(3 * logits, truth, temperature) < log_loss(3 * logits, truth)
