"""Deconvolution removes the spread of the soft targets from the probabilities."""

import numpy as np
import pytest
import torch

from reconcile.inference.calibration import calibrated, deconvolve, softmax
from reconcile.labels import CountLabels
from reconcile.training.soft_targets import mean_targets
from reconcile.training.temperature import fit_temperature, log_loss

LABELS = CountLabels(("0", "1", "2", "3+"))


def test_output_equal_to_a_soft_target_becomes_one_count():
    soft_targets = mean_targets(torch.tensor([0, 1, 2, 3, 4]), LABELS, 0.6).numpy()
    assert soft_targets[2, 1] > 0.15, "the target is spread over its neighbours"
    deconvolved = deconvolve(soft_targets.astype(np.float32), soft_targets)
    assert deconvolved.diagonal().min() > 0.85
    assert deconvolved[2, 1] < soft_targets[2, 1] / 3
    np.testing.assert_allclose(deconvolved.sum(axis=1), 1, rtol=1e-5)


def test_uncertainty_beyond_the_soft_targets_is_kept():
    soft_targets = mean_targets(torch.tensor([0, 1, 2, 3, 4]), LABELS, 0.4).numpy()
    probabilities = np.array([[0.0, 0.5, 0.0, 0.5], [0.25, 0.25, 0.25, 0.25]], dtype=np.float32)
    np.testing.assert_allclose(deconvolve(probabilities @ soft_targets, soft_targets), probabilities, atol=0.03)


def test_photo_has_the_same_probabilities_in_any_batch():
    soft_targets = mean_targets(torch.tensor([0, 1, 2, 3, 4]), LABELS, 0.6).numpy().astype(np.float32)
    logits = np.random.default_rng(1).normal(size=(33, 4)).astype(np.float32)
    whole_batch = calibrated(logits, 1.3, soft_targets)
    for size in (1, 2, 5):
        parts = [calibrated(logits[start : start + size], 1.3, soft_targets) for start in range(0, len(logits), size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole_batch)


def test_certain_rows_stay_finite():
    soft_targets = mean_targets(torch.tensor([0, 1, 2, 3, 4]), LABELS, 0.5).numpy()
    output = np.array([[1, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float32)
    deconvolved = deconvolve(output, soft_targets)
    assert np.isfinite(deconvolved).all()
    assert deconvolved.min() > 0
    assert deconvolved.argmax(axis=1).tolist() == [0, 3]


def test_deconvolution_makes_the_true_labels_more_likely():
    rng = np.random.default_rng(4)
    soft_targets = mean_targets(torch.from_numpy(rng.integers(0, 6, 500)), LABELS, 0.6).numpy()
    probabilities = softmax(rng.normal(0, 3, (3000, 4)))
    truth = np.array([rng.choice(4, p=row / row.sum()) for row in probabilities.astype(np.float64)])
    logits = np.log(probabilities @ soft_targets)
    temperature = fit_temperature(logits, truth, soft_targets)
    assert temperature == pytest.approx(1, abs=0.1)
    plain = log_loss(logits, truth, fit_temperature(logits, truth))
    deconvolved = log_loss(logits, truth, temperature, soft_targets)
    assert deconvolved < plain - 0.02
    final = calibrated(logits, temperature, soft_targets)
    assert deconvolved == pytest.approx(-np.log(final[np.arange(3000), truth]).mean(), rel=1e-3)
