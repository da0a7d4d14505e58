"""The distribution of counts is recovered from bins drawn from a known one."""

import numpy as np
import pytest

from reconcile.discrepancy.error_model import ErrorModel
from reconcile.discrepancy.label_shift import adjust_for_prior, estimate_class_prior
from reconcile.labels import CountLabels

LABELS = CountLabels(("0", "1", "2", "3+"))
PRIOR = np.array([0.25, 0.25, 0.25, 0.25])
FAR_PRIOR = np.array([0.05, 0.15, 0.2, 0.6])
ERRORS = ErrorModel(0.05)


def random_run(class_prior, number, seed=1):
    """Return P(c|x) of a calibrated model, records of which 5 % are wrong, and the true counts.

    A photo is one of four kinds. Each kind shows each count with a known probability, so P(c|x) is exact.
    """
    rng = np.random.default_rng(seed)
    photo_given_truth = np.full((4, 4), 0.12) + 0.52 * np.eye(4)
    truth = rng.choice(4, size=number, p=class_prior)
    kind = np.array([rng.choice(4, p=photo_given_truth[count]) for count in truth])
    joint = PRIOR[:, None] * photo_given_truth
    under_training = (joint / joint.sum(axis=0)).T
    record_given_truth = ERRORS.record_given_truth(LABELS)
    records = np.array([rng.choice(4, p=record_given_truth[count]) for count in truth])
    return under_training[kind], records, truth


def test_prior_far_from_training_is_recovered():
    photos, records, truth = random_run(FAR_PRIOR, 6000)
    class_prior = estimate_class_prior(photos, records, LABELS, PRIOR, ERRORS)
    expected = np.bincount(truth, minlength=4) / len(truth)
    np.testing.assert_allclose(class_prior, expected, atol=0.015)
    assert class_prior.sum() == pytest.approx(1)


def test_adjusted_probabilities_are_calibrated_in_the_run():
    photos, _, truth = random_run(FAR_PRIOR, 20_000)
    corrected = adjust_for_prior(photos, PRIOR, FAR_PRIOR)
    np.testing.assert_allclose(corrected.sum(axis=1), 1)
    for kind in np.unique(photos, axis=0):
        of_kind = (photos == kind).all(axis=1)
        expected = np.bincount(truth[of_kind], minlength=4) / of_kind.sum()
        np.testing.assert_allclose(corrected[of_kind][0], expected, atol=0.03)
        assert np.abs(kind - expected).max() > 0.1


def test_too_few_bins_give_no_prior():
    photos, records, _ = random_run(FAR_PRIOR, 399)
    assert estimate_class_prior(photos, records, LABELS, PRIOR, ERRORS) is None


def test_prior_near_training_is_ignored():
    photos, records, _ = random_run(np.array([0.2, 0.25, 0.25, 0.3]), 6000)
    assert estimate_class_prior(photos, records, LABELS, PRIOR, ERRORS) is None


def test_label_without_training_photos_gives_no_prior():
    photos, records, _ = random_run(FAR_PRIOR, 6000)
    assert estimate_class_prior(photos, records, LABELS, [0.4, 0.3, 0.3, 0.0], ERRORS) is None


def test_prior_given_as_counts_is_normalised_in_a_copy():
    photos, records, _ = random_run(FAR_PRIOR, 2000)
    counts = np.array([50.0, 50.0, 50.0, 50.0])
    class_prior = estimate_class_prior(photos, records, LABELS, counts, ERRORS)
    np.testing.assert_allclose(class_prior, estimate_class_prior(photos, records, LABELS, PRIOR, ERRORS))
    assert counts.tolist() == [50.0] * 4


def test_photos_that_rule_out_their_records_are_ignored():
    photos, records, _ = random_run(FAR_PRIOR, 2000)
    photos[:20], records[:20] = np.eye(4)[3], 0
    by_one_only = ErrorModel(0.05, decay=1e-200)  # larger errors underflow to 0
    class_prior = estimate_class_prior(photos, records, LABELS, PRIOR, by_one_only)
    assert class_prior.sum() == pytest.approx(1)
    assert class_prior[3] > 0.5


def test_photo_of_a_count_with_prior_zero_keeps_its_row():
    photos = np.array([[1.0, 0.0, 0.0, 0.0], [0.5, 0.0, 0.0, 0.5]])
    corrected = adjust_for_prior(photos, PRIOR, np.array([0.0, 0.2, 0.3, 0.5]))
    assert corrected.tolist() == [[1, 0, 0, 0], [0, 0, 0, 1]]
