"""Tonight's mix of counts, found again from bins drawn to a known one."""

import numpy as np
import pytest

from reconcile.discrepancy.error_model import ErrorModel
from reconcile.discrepancy.label_shift import adjust_for_prior, estimate_class_prior
from reconcile.labels import CountLabels

LABELS = CountLabels(("0", "1", "2", "3+"))
PRIOR = np.array([0.25, 0.25, 0.25, 0.25])
FAR_MIX = np.array([0.05, 0.15, 0.2, 0.6])
ERRORS = ErrorModel(0.05)


def drawn_night(mix, number, seed=1):
    """Photos as a calibrated model sees them, and records of which 5 % are wrong.

    A photo is one of four kinds; each kind shows each count with known chances, so that P(c|x) is exact.
    """
    rng = np.random.default_rng(seed)
    photo_given_truth = np.full((4, 4), 0.12) + 0.52 * np.eye(4)
    truth = rng.choice(4, size=number, p=mix)
    kind = np.array([rng.choice(4, p=photo_given_truth[count]) for count in truth])
    joint = PRIOR[:, None] * photo_given_truth
    under_training = (joint / joint.sum(axis=0)).T
    chances = ERRORS.record_given_truth(LABELS)
    records = np.array([rng.choice(4, p=chances[count]) for count in truth])
    return under_training[kind], records, truth


def test_a_mix_far_from_trainings_is_found_again():
    photos, records, truth = drawn_night(FAR_MIX, 6000)
    mix = estimate_class_prior(photos, records, LABELS, PRIOR, ERRORS)
    drawn = np.bincount(truth, minlength=4) / len(truth)
    np.testing.assert_allclose(mix, drawn, atol=0.015)
    assert mix.sum() == pytest.approx(1)


def test_probabilities_under_tonights_mix_are_calibrated_again():
    photos, _, truth = drawn_night(FAR_MIX, 20_000)
    corrected = adjust_for_prior(photos, PRIOR, FAR_MIX)
    np.testing.assert_allclose(corrected.sum(axis=1), 1)
    for kind in np.unique(photos, axis=0):
        those = (photos == kind).all(axis=1)
        found = np.bincount(truth[those], minlength=4) / those.sum()
        np.testing.assert_allclose(corrected[those][0], found, atol=0.03)
        assert np.abs(kind - found).max() > 0.1


def test_too_few_bins_tell_no_mix():
    photos, records, _ = drawn_night(FAR_MIX, 399)
    assert estimate_class_prior(photos, records, LABELS, PRIOR, ERRORS) is None


def test_a_mix_near_trainings_is_left_alone():
    photos, records, _ = drawn_night(np.array([0.2, 0.25, 0.25, 0.3]), 6000)
    assert estimate_class_prior(photos, records, LABELS, PRIOR, ERRORS) is None


def test_a_label_that_was_never_trained_on_leaves_all_as_it_is():
    photos, records, _ = drawn_night(FAR_MIX, 6000)
    assert estimate_class_prior(photos, records, LABELS, [0.4, 0.3, 0.3, 0.0], ERRORS) is None


def test_a_prior_in_counts_instead_of_shares_is_the_same_and_stays_as_it_was():
    photos, records, _ = drawn_night(FAR_MIX, 2000)
    counts = np.array([50.0, 50.0, 50.0, 50.0])
    mix = estimate_class_prior(photos, records, LABELS, counts, ERRORS)
    np.testing.assert_allclose(mix, estimate_class_prior(photos, records, LABELS, PRIOR, ERRORS))
    assert counts.tolist() == [50.0] * 4


def test_photos_that_rule_their_records_out_spoil_nothing():
    photos, records, _ = drawn_night(FAR_MIX, 2000)
    photos[:20], records[:20] = np.eye(4)[3], 0
    by_one_only = ErrorModel(0.05, decay=1e-200)  # anything further underflows to 0
    mix = estimate_class_prior(photos, records, LABELS, PRIOR, by_one_only)
    assert mix.sum() == pytest.approx(1)
    assert mix[3] > 0.5


def test_a_photo_of_what_nobody_has_tonight_is_believed():
    photos = np.array([[1.0, 0.0, 0.0, 0.0], [0.5, 0.0, 0.0, 0.5]])
    corrected = adjust_for_prior(photos, PRIOR, np.array([0.0, 0.2, 0.3, 0.5]))
    assert corrected.tolist() == [[1, 0, 0, 0], [0, 0, 0, 1]]
