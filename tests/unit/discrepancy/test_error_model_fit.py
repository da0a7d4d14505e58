"""The error model is recovered from recounts of the top of the queue, in runs drawn with known errors."""

import numpy as np
import pytest

from reconcile.discrepancy.error_model import ErrorModel
from reconcile.discrepancy.error_model_fit import Recounts, fit_error_model
from reconcile.discrepancy.posterior import p_wrong, posterior
from reconcile.labels import CountLabels
from tests.conftest import LABELS

ASSUMED = ErrorModel(0.03)


def recounted_top(true_errors: ErrorModel, bins: int = 8000, capacity: int = 800, seed: int = 1) -> Recounts:
    """Return recounts of the first bins of a queue that was ranked under the assumed errors.

    Photos are calibrated: the true count is drawn from the probabilities of each photo.
    """
    rng = np.random.default_rng(seed)
    photos = rng.dirichlet(np.full(7, 0.25), size=bins)
    truth = (photos.cumsum(axis=1) > rng.random((bins, 1))).argmax(axis=1)
    record_given_truth = true_errors.record_given_truth(LABELS)
    records = (record_given_truth[truth].cumsum(axis=1) > rng.random((bins, 1))).argmax(axis=1)
    scores = p_wrong(posterior(photos, records, LABELS, ASSUMED), records)
    top = np.argsort(-scores)[:capacity]
    return Recounts(photos[top].astype(np.float32), records[top], truth[top])


@pytest.mark.parametrize("rate", [0.01, 0.08])
def test_true_error_rate_is_recovered_from_first_queued_bins(rate):
    recounts = recounted_top(ErrorModel(rate))
    wrong_fraction = (recounts.expected != recounts.counted).mean()
    assert wrong_fraction > 3 * rate
    fitted = fit_error_model(ASSUMED, recounts, LABELS)
    assert rate / 1.4 < fitted.model.rate < 1.4 * rate
    assert fitted.rates[0] < rate < fitted.rates[-1]


def test_fit_without_recounts_is_the_assumed_model():
    fitted = fit_error_model(ASSUMED, None, LABELS)
    assert fitted.model == ASSUMED
    # Beta(3, 97) has a mean of 3 %. The medians of its fifteenths lie between 0.7 % and 6.6 %.
    assert fitted.rates.mean() == pytest.approx(0.03, rel=0.05)
    assert (np.diff(fitted.rates) > 0).all()
    assert (0.005, 0.06) < (fitted.rates[0], fitted.rates[-1]) < (0.01, 0.075)


@pytest.mark.parametrize("rate", [0.0002, 0.03, 0.85])
def test_one_recount_hardly_changes_an_extreme_assumed_rate(rate):
    photo = np.full((1, 7), 1 / 7, dtype=np.float32)
    fitted = fit_error_model(ErrorModel(rate), Recounts(photo, np.array([3]), np.array([3])), LABELS)
    assert fitted.model.rate == pytest.approx(rate, rel=0.05)
    assert fitted.rates[0] < rate < fitted.rates[-1]


def test_more_recounts_narrow_the_distribution_of_the_rate():
    few, many = (recounted_top(ErrorModel(0.05), capacity=capacity) for capacity in (50, 2000))
    widths = [np.ptp(fit_error_model(ASSUMED, recounts, LABELS).rates) for recounts in (few, many)]
    assert widths[1] < widths[0] / 1.5


def test_decay_is_recovered_from_recounts():
    near, far = (
        fit_error_model(ASSUMED, recounted_top(ErrorModel(0.08, decay=decay)), LABELS).model.decay
        for decay in (0.2, 0.9)
    )
    assert near < 0.35
    assert far > 0.7


def test_empty_weight_is_recovered_from_recounts():
    rare, frequent = (
        fit_error_model(ASSUMED, recounted_top(ErrorModel(0.08, empty_weight=weight)), LABELS).model.empty_weight
        for weight in (0.25, 4.0)
    )
    assert rare < 0.8 < 1.5 < frequent


def test_posterior_rate_agrees_with_bayes_rule_by_hand():
    """With two labels only the rate can vary, so Bayes' rule over a grid of rates is short."""
    labels = CountLabels(("0", "1"))
    photos = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    expected, counted = np.array([1, 1, 0]), np.array([0, 1, 0])
    rates = np.linspace(0.0005, 0.9995, 4000)
    weights = []
    for rate in rates:
        weight = rate ** (100 * 0.03 - 1) * (1 - rate) ** (100 * 0.97 - 1)
        for photo, record, truth in zip(photos, expected, counted, strict=True):
            joint = [photo[count] * ((1 - rate) if count == record else rate) for count in (0, 1)]
            weight *= joint[truth] / sum(joint)
        weights.append(weight)
    by_hand = np.average(rates, weights=weights)
    fitted = fit_error_model(ASSUMED, Recounts(photos, expected, counted), labels)
    assert fitted.model.rate == pytest.approx(by_hand, rel=0.01)


def test_count_that_the_photo_rules_out_leaves_the_rate():
    photo = np.eye(7, dtype=np.float32)[[2]]
    fitted = fit_error_model(ASSUMED, Recounts(photo, np.array([2]), np.array([5])), LABELS)
    assert fitted.model.rate == pytest.approx(ASSUMED.rate, rel=0.01)
    fitted = fit_error_model(ASSUMED, Recounts(photo, np.array([4]), np.array([4])), LABELS)
    assert fitted.model.rate == pytest.approx(ASSUMED.rate, rel=0.01)


def test_order_of_recounts_does_not_matter_across_passes():
    recounts = recounted_top(ErrorModel(0.05), bins=12_000, capacity=6000)
    reversed_recounts = Recounts(recounts.probabilities[::-1], recounts.expected[::-1], recounts.counted[::-1])
    one, other = (fit_error_model(ASSUMED, each, LABELS).model for each in (recounts, reversed_recounts))
    assert one.rate == pytest.approx(other.rate, rel=1e-9)
