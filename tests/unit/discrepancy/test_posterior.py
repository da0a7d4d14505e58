"""The posterior and its figures against Bayes' rule written as loops."""

import numpy as np
import pytest

from reconcile.discrepancy.error_model import ErrorModel
from reconcile.discrepancy.posterior import (
    most_likely,
    most_likely_if_wrong,
    p_off,
    p_wrong,
    posterior,
    units_off,
)
from reconcile.labels import CountLabels
from tests.conftest import LABELS

GAPPED = CountLabels(("0", "1", "2", "5", "12+"))
MODELS = [
    ErrorModel(0.001),
    ErrorModel(0.03, decay=0.8, empty_weight=0.3),
    ErrorModel(0.4, decay=0.2, empty_weight=4.0),
    ErrorModel(0.08, decay=1.0),
]


def error_probability(labels: CountLabels, truth: int, record: int, errors: ErrorModel) -> float:
    """Return q(record | truth). Both are indices of labels."""
    weights = []
    for other in range(len(labels.values)):
        if other == truth:
            weights.append(0.0)
            continue
        touches_empty = labels.values[other] == 0 or labels.values[truth] == 0
        weight = errors.empty_weight if touches_empty else 1.0
        weights.append(weight * errors.decay ** abs(labels.values[other] - labels.values[truth]))
    return weights[record] / sum(weights)


def posterior_by_hand(labels: CountLabels, photo, record: int, errors: ErrorModel) -> list[float]:
    """Apply Bayes' rule to one true count after the other."""
    joint = []
    for truth, p in enumerate(photo):
        if truth == record:
            joint.append(p * (1 - errors.rate))
        else:
            joint.append(p * errors.rate * error_probability(labels, truth, record, errors))
    return [part / sum(joint) for part in joint]


def random_bins(labels: CountLabels, number: int = 60, seed: int = 3):
    rng = np.random.default_rng(seed)
    width = len(labels.names)
    return rng.dirichlet(np.full(width, 0.7), size=number), rng.integers(0, width, size=number)


@pytest.mark.parametrize("errors", MODELS)
@pytest.mark.parametrize("labels", [LABELS, GAPPED], ids=["0 to 6+", "with gaps"])
def test_all_figures_agree_with_bayes_rule_by_hand(labels, errors):
    photos, records = random_bins(labels)
    posteriors = posterior(photos, records, labels, errors)
    by_hand = [posterior_by_hand(labels, photo, record, errors) for photo, record in zip(photos, records, strict=True)]
    np.testing.assert_allclose(posteriors, by_hand, rtol=1e-12)
    np.testing.assert_allclose(posteriors.sum(axis=1), 1, rtol=1e-12)
    quantities = np.array(labels.values)[records]
    more = (records == len(labels.names) - 1) * np.arange(len(records))  # 6, 7, 8 … under 6+
    quantities += more
    wrong, units = p_wrong(posteriors, records), units_off(posteriors, quantities, labels)
    off = {tolerance: p_off(posteriors, quantities, labels, tolerance) for tolerance in (0, 1, 3, 100)}
    best, best_if_wrong = most_likely(posteriors), most_likely_if_wrong(posteriors, records)
    for bin_, (probs, record) in enumerate(zip(by_hand, records, strict=True)):
        distances = [
            abs(value - quantities[bin_]) if index != record else 0 for index, value in enumerate(labels.values)
        ]
        others = [p for index, p in enumerate(probs) if index != record]
        assert wrong[bin_] == pytest.approx(sum(others))
        assert units[bin_] == pytest.approx(sum(p * items for p, items in zip(probs, distances, strict=True)))
        for tolerance, by_tolerance in off.items():
            expected = sum(p for p, items in zip(probs, distances, strict=True) if items > tolerance)
            assert by_tolerance[bin_] == pytest.approx(expected, abs=1e-15)
        assert probs[best[bin_]] == max(probs)
        assert best_if_wrong[bin_] != record
        assert probs[best_if_wrong[bin_]] == max(others)


@pytest.mark.parametrize("errors", MODELS)
@pytest.mark.parametrize("labels", [LABELS, GAPPED, CountLabels(("3", "90000"))], ids=["0 to 6+", "gaps", "far apart"])
def test_record_given_truth_has_rows_that_sum_to_one(labels, errors):
    matrix = errors.record_given_truth(labels)
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    np.testing.assert_allclose(np.diag(matrix), 1 - errors.rate)


def test_uniform_errors_rank_as_self_confidence_does():
    photos, records = random_bins(LABELS, 500)
    posteriors = posterior(photos, records, LABELS, ErrorModel(0.05, decay=1.0))
    confidence = photos[np.arange(500), records]
    np.testing.assert_array_equal(np.argsort(p_wrong(posteriors, records)), np.argsort(1 - confidence))


def test_error_rate_only_scales_the_odds():
    photos, records = random_bins(LABELS)
    odds = []
    for rate in (0.01, 0.2):
        p = p_wrong(posterior(photos, records, LABELS, ErrorModel(rate)), records)
        odds.append(p / (1 - p))
    np.testing.assert_allclose(odds[1] / odds[0], (0.2 / 0.8) / (0.01 / 0.99), rtol=1e-9)


def test_uninformative_photo_gives_the_error_rate():
    flat, records = np.full((2, 2), 0.5), np.array([0, 1])
    posteriors = posterior(flat, records, CountLabels(("0", "1")), ErrorModel(0.03))
    np.testing.assert_allclose(p_wrong(posteriors, records), 0.03)


def test_certain_photo_gives_p_wrong_of_one_or_zero():
    labels, records = CountLabels(("0", "1", "2")), np.array([0, 0])
    certain = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    posteriors = posterior(certain, records, labels, ErrorModel(0.03))
    assert p_wrong(posteriors, records).tolist() == [1.0, 0.0]


def test_record_that_no_count_can_become_uses_only_the_photo():
    by_one_only = ErrorModel(0.03, decay=1e-200)  # larger errors underflow to 0
    photo, record = np.array([[0.0, 0.0, 0.0, 0.0, 0.4, 0.6, 0.0]]), np.array([1])
    posteriors = posterior(photo, record, LABELS, by_one_only)
    np.testing.assert_allclose(posteriors, photo)
    assert p_wrong(posteriors, record) == 1


def test_record_off_by_one_is_more_suspicious_than_by_three():
    photos = np.full((2, 7), 0.02)
    photos[0, 3], photos[1, 5] = 0.88, 0.88
    records = np.array([2, 2])
    near, far = p_wrong(posterior(photos, records, LABELS, ErrorModel(0.03)), records)
    assert near > far


def test_empty_weight_raises_p_wrong_of_an_empty_record():
    photo, record = np.array([[0.3, 0.0, 0.0, 0.7, 0.0, 0.0, 0.0]]), np.array([0])
    low, high = (
        p_wrong(posterior(photo, record, LABELS, ErrorModel(0.03, empty_weight=weight)), record)[0]
        for weight in (0.25, 4.0)
    )
    assert high > 2 * low


def test_float32_probabilities_give_the_same_p_wrong():
    photos, records = random_bins(LABELS)
    single = p_wrong(posterior(photos.astype(np.float32), records, LABELS, ErrorModel(0.03)), records)
    double = p_wrong(posterior(photos, records, LABELS, ErrorModel(0.03)), records)
    np.testing.assert_allclose(single, double, rtol=1e-5)
