"""p_wrong and its kin against Bayes' rule written out loop by loop from the derivation."""

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


def slip_by_hand(labels: CountLabels, truth: int, record: int, errors: ErrorModel) -> float:
    """q(record | truth), both places of labels."""
    weights = []
    for other in range(len(labels.values)):
        if other == truth:
            weights.append(0.0)
            continue
        touches_empty = labels.values[other] == 0 or labels.values[truth] == 0
        weight = errors.empty_weight if touches_empty else 1.0
        weights.append(weight * errors.decay ** abs(labels.values[other] - labels.values[truth]))
    return weights[record] / sum(weights)


def truth_by_hand(labels: CountLabels, photo, record: int, errors: ErrorModel) -> list[float]:
    """Bayes' rule over every true count, one at a time."""
    joint = []
    for truth, share in enumerate(photo):
        if truth == record:
            joint.append(share * (1 - errors.rate))
        else:
            joint.append(share * errors.rate * slip_by_hand(labels, truth, record, errors))
    return [part / sum(joint) for part in joint]


def drawn_bins(labels: CountLabels, number: int = 60, seed: int = 3):
    rng = np.random.default_rng(seed)
    width = len(labels.names)
    return rng.dirichlet(np.full(width, 0.7), size=number), rng.integers(0, width, size=number)


@pytest.mark.parametrize("errors", MODELS)
@pytest.mark.parametrize("labels", [LABELS, GAPPED], ids=["0 to 6+", "with gaps"])
def test_everything_agrees_with_bayes_rule_written_out(labels, errors):
    photos, records = drawn_bins(labels)
    truth = posterior(photos, records, labels, errors)
    by_hand = [truth_by_hand(labels, photo, record, errors) for photo, record in zip(photos, records, strict=True)]
    np.testing.assert_allclose(truth, by_hand, rtol=1e-12)
    np.testing.assert_allclose(truth.sum(axis=1), 1, rtol=1e-12)
    quantities = np.array(labels.values)[records]
    more = (records == len(labels.names) - 1) * np.arange(len(records))  # 6, 7, 8 … under 6+
    quantities += more
    wrong, units = p_wrong(truth, records), units_off(truth, quantities, labels)
    off = {tolerance: p_off(truth, quantities, labels, tolerance) for tolerance in (0, 1, 3, 100)}
    best, best_if_wrong = most_likely(truth), most_likely_if_wrong(truth, records)
    for bin_, (shares, record) in enumerate(zip(by_hand, records, strict=True)):
        away = [abs(value - quantities[bin_]) if place != record else 0 for place, value in enumerate(labels.values)]
        assert wrong[bin_] == pytest.approx(sum(share for place, share in enumerate(shares) if place != record))
        assert units[bin_] == pytest.approx(sum(share * items for share, items in zip(shares, away, strict=True)))
        for tolerance, found in off.items():
            expected = sum(share for share, items in zip(shares, away, strict=True) if items > tolerance)
            assert found[bin_] == pytest.approx(expected, abs=1e-15)
        assert shares[best[bin_]] == max(shares)
        assert best_if_wrong[bin_] != record
        assert shares[best_if_wrong[bin_]] == max(share for place, share in enumerate(shares) if place != record)


@pytest.mark.parametrize("errors", MODELS)
@pytest.mark.parametrize("labels", [LABELS, GAPPED, CountLabels(("3", "90000"))], ids=["0 to 6+", "gaps", "far apart"])
def test_what_a_record_says_of_each_true_count_sums_to_one(labels, errors):
    chances = errors.record_given_truth(labels)
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    np.testing.assert_allclose(np.diag(chances), 1 - errors.rate)


def test_where_all_errors_are_alike_it_ranks_as_self_confidence():
    photos, records = drawn_bins(LABELS, 500)
    truth = posterior(photos, records, LABELS, ErrorModel(0.05, decay=1.0))
    confidence = photos[np.arange(500), records]
    np.testing.assert_array_equal(np.argsort(p_wrong(truth, records)), np.argsort(1 - confidence))


def test_the_error_rate_only_scales_the_odds():
    photos, records = drawn_bins(LABELS)
    odds = []
    for rate in (0.01, 0.2):
        p = p_wrong(posterior(photos, records, LABELS, ErrorModel(rate)), records)
        odds.append(p / (1 - p))
    np.testing.assert_allclose(odds[1] / odds[0], (0.2 / 0.8) / (0.01 / 0.99), rtol=1e-9)


def test_a_photo_that_tells_nothing_leaves_the_error_rate():
    flat, records = np.full((2, 2), 0.5), np.array([0, 1])
    truth = posterior(flat, records, CountLabels(("0", "1")), ErrorModel(0.03))
    np.testing.assert_allclose(p_wrong(truth, records), 0.03)


def test_a_photo_that_rules_the_record_out_or_leaves_nothing_else():
    labels, records = CountLabels(("0", "1", "2")), np.array([0, 0])
    certain = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    truth = posterior(certain, records, labels, ErrorModel())
    assert p_wrong(truth, records).tolist() == [1.0, 0.0]


def test_a_record_that_no_count_in_the_photo_could_have_become_is_judged_by_the_photo():
    by_one_only = ErrorModel(0.03, decay=1e-200)  # anything further underflows to 0
    photo, record = np.array([[0.0, 0.0, 0.0, 0.0, 0.4, 0.6, 0.0]]), np.array([1])
    truth = posterior(photo, record, LABELS, by_one_only)
    np.testing.assert_allclose(truth, photo)
    assert p_wrong(truth, record) == 1


def test_off_by_one_is_likelier_a_slip_than_off_by_three():
    photos = np.full((2, 7), 0.02)
    photos[0, 3], photos[1, 5] = 0.88, 0.88
    records = np.array([2, 2])
    near, far = p_wrong(posterior(photos, records, LABELS, ErrorModel()), records)
    assert near > far


def test_a_record_taken_for_empty_has_a_weight_of_its_own():
    photo, record = np.array([[0.3, 0.0, 0.0, 0.7, 0.0, 0.0, 0.0]]), np.array([0])
    seldom, often = (
        p_wrong(posterior(photo, record, LABELS, ErrorModel(empty_weight=weight)), record)[0] for weight in (0.25, 4.0)
    )
    assert often > 2 * seldom


def test_single_precision_from_the_model_is_as_good_as_double():
    photos, records = drawn_bins(LABELS)
    single = p_wrong(posterior(photos.astype(np.float32), records, LABELS, ErrorModel()), records)
    double = p_wrong(posterior(photos, records, LABELS, ErrorModel()), records)
    np.testing.assert_allclose(single, double, rtol=1e-5)
