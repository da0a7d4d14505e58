"""Calibration: probabilities that undo what the network was taught to say."""

import numpy as np
import pytest
import torch

from reconcile.inference.calibration import calibrated, deconvolve, softmax
from reconcile.labels import CountLabels
from reconcile.training.soft_targets import mean_targets, soft_targets
from reconcile.training.temperature import fit_temperature, negative_log_likelihood

LABELS = CountLabels(("0", "1", "2", "3+"))


def test_targets_of_a_label_are_the_mean_over_its_images():
    counts = torch.tensor([1] * 500 + [3] * 300 + [9] * 200)
    taught = mean_targets(counts, LABELS, 0.6)
    torch.testing.assert_close(taught.sum(dim=1), torch.ones(4))
    spread = soft_targets(torch.tensor([1, 3, 9]), LABELS, 0.6)
    torch.testing.assert_close(taught[1], spread[0])
    torch.testing.assert_close(taught[3], 0.6 * spread[1] + 0.4 * spread[2], atol=1e-3, rtol=0)
    torch.testing.assert_close(taught[0], torch.tensor([1.0, 0, 0, 0]))


def test_a_network_that_says_what_it_was_taught_believes_in_one_count():
    taught = mean_targets(torch.tensor([0, 1, 2, 3, 4]), LABELS, 0.6).numpy()
    assert taught[2, 1] > 0.15, "it was taught to doubt"
    believed = deconvolve(taught.astype(np.float32), taught)
    assert believed.diagonal().min() > 0.85
    assert believed[2, 1] < taught[2, 1] / 3
    np.testing.assert_allclose(believed.sum(axis=1), 1, rtol=1e-5)


def test_doubt_that_was_not_taught_stays():
    taught = mean_targets(torch.tensor([0, 1, 2, 3, 4]), LABELS, 0.4).numpy()
    belief = np.array([[0.0, 0.5, 0.0, 0.5], [0.25, 0.25, 0.25, 0.25]], dtype=np.float32)
    np.testing.assert_allclose(deconvolve(belief @ taught, taught), belief, atol=0.03)


def test_a_photo_has_the_same_probabilities_alone_as_in_a_batch():
    taught = mean_targets(torch.tensor([0, 1, 2, 3, 4]), LABELS, 0.6).numpy().astype(np.float32)
    logits = np.random.default_rng(1).normal(size=(33, 4)).astype(np.float32)
    together = calibrated(logits, 1.3, taught)
    for size in (1, 2, 5):
        parts = [calibrated(logits[start : start + size], 1.3, taught) for start in range(0, len(logits), size)]
        np.testing.assert_array_equal(np.concatenate(parts), together)


def test_certain_and_hopeless_rows_stay_numbers():
    taught = mean_targets(torch.tensor([0, 1, 2, 3, 4]), LABELS, 0.5).numpy()
    says = np.array([[1, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float32)
    believed = deconvolve(says, taught)
    assert np.isfinite(believed).all()
    assert believed.min() > 0
    assert believed.argmax(axis=1).tolist() == [0, 3]


def test_undoing_what_was_taught_makes_the_true_labels_likelier():
    rng = np.random.default_rng(4)
    taught = mean_targets(torch.from_numpy(rng.integers(0, 6, 500)), LABELS, 0.6).numpy()
    belief = softmax(rng.normal(0, 3, (3000, 4)))
    truth = np.array([rng.choice(4, p=row / row.sum()) for row in belief.astype(np.float64)])
    logits = np.log(belief @ taught)
    temperature = fit_temperature(logits, truth, taught)
    assert temperature == pytest.approx(1, abs=0.1)
    plain = negative_log_likelihood(logits, truth, fit_temperature(logits, truth))
    undone = negative_log_likelihood(logits, truth, temperature, taught)
    assert undone < plain - 0.02
    shares = calibrated(logits, temperature, taught)
    assert undone == pytest.approx(-np.log(shares[np.arange(3000), truth]).mean(), rel=1e-3)
