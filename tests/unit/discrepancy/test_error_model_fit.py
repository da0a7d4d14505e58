"""What recounts teach: of nights drawn with known errors, the top of the queue is recounted, the errors are found."""

import numpy as np
import pytest

from reconcile.discrepancy.error_model import ErrorModel
from reconcile.discrepancy.error_model_fit import Recounts, fit_error_model
from reconcile.discrepancy.posterior import p_wrong, posterior
from reconcile.labels import CountLabels
from tests.conftest import LABELS

ASSUMED = ErrorModel(0.03)


def recounted_top(true_errors: ErrorModel, bins: int = 8000, capacity: int = 800, seed: int = 1) -> Recounts:
    """Recounts of the first bins of a queue, which was ranked under the assumed errors.

    Photos are calibrated: the truth is drawn from what each of them says.
    """
    rng = np.random.default_rng(seed)
    photos = rng.dirichlet(np.full(7, 0.25), size=bins)
    truth = (photos.cumsum(axis=1) > rng.random((bins, 1))).argmax(axis=1)
    chances = true_errors.record_given_truth(LABELS)
    records = (chances[truth].cumsum(axis=1) > rng.random((bins, 1))).argmax(axis=1)
    suspicion = p_wrong(posterior(photos, records, LABELS, ASSUMED), records)
    top = np.argsort(-suspicion)[:capacity]
    return Recounts(photos[top].astype(np.float32), records[top], truth[top])


@pytest.mark.parametrize("rate", [0.01, 0.08])
def test_the_true_error_rate_is_found_from_the_top_of_the_queue_alone(rate):
    recounts = recounted_top(ErrorModel(rate))
    bare_share = (recounts.expected != recounts.found).mean()
    assert bare_share > 3 * rate
    learned = fit_error_model(ASSUMED, recounts, LABELS)
    assert rate / 1.4 < learned.model.rate < 1.4 * rate
    assert learned.rates[0] < rate < learned.rates[-1]


def test_without_recounts_the_assumption_stands():
    learned = fit_error_model(ASSUMED, None, LABELS)
    assert learned.model == ASSUMED
    # Beta(3, 97): its mean is 3 %, and the middle of each of its fifteenths lies between 0.7 % and 6.6 %.
    assert learned.rates.mean() == pytest.approx(0.03, rel=0.05)
    assert (np.diff(learned.rates) > 0).all()
    assert (0.005, 0.06) < (learned.rates[0], learned.rates[-1]) < (0.01, 0.075)


@pytest.mark.parametrize("rate", [0.0002, 0.03, 0.85])
def test_one_recount_hardly_moves_an_assumption_however_far_out(rate):
    photo = np.full((1, 7), 1 / 7, dtype=np.float32)
    learned = fit_error_model(ErrorModel(rate), Recounts(photo, np.array([3]), np.array([3])), LABELS)
    assert learned.model.rate == pytest.approx(rate, rel=0.05)
    assert learned.rates[0] < rate < learned.rates[-1]


def test_many_recounts_narrow_what_is_not_known():
    few, many = (recounted_top(ErrorModel(0.05), capacity=capacity) for capacity in (50, 2000))
    widths = [np.ptp(fit_error_model(ASSUMED, recounts, LABELS).rates) for recounts in (few, many)]
    assert widths[1] < widths[0] / 1.5


def test_the_size_of_errors_is_learned():
    near, far = (
        fit_error_model(ASSUMED, recounted_top(ErrorModel(0.08, decay=decay)), LABELS).model.decay
        for decay in (0.2, 0.9)
    )
    assert near < 0.35
    assert far > 0.7


def test_that_empty_bins_go_wrong_more_often_is_learned():
    seldom, often = (
        fit_error_model(ASSUMED, recounted_top(ErrorModel(0.08, empty_weight=weight)), LABELS).model.empty_weight
        for weight in (0.25, 4.0)
    )
    assert seldom < 0.8 < 1.5 < often


def test_the_likelihood_is_the_product_of_what_was_found():
    """Against Bayes' rule over a grid of rates, written out, where nothing else can vary."""
    labels = CountLabels(("0", "1"))
    photos = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    expected, found = np.array([1, 1, 0]), np.array([0, 1, 0])
    rates = np.linspace(0.0005, 0.9995, 4000)
    weights = []
    for rate in rates:
        chance = rate ** (100 * 0.03 - 1) * (1 - rate) ** (100 * 0.97 - 1)
        for photo, record, truth in zip(photos, expected, found, strict=True):
            joint = [photo[count] * ((1 - rate) if count == record else rate) for count in (0, 1)]
            chance *= joint[truth] / sum(joint)
        weights.append(chance)
    by_hand = np.average(rates, weights=weights)
    learned = fit_error_model(ASSUMED, Recounts(photos, expected, found), labels)
    assert learned.model.rate == pytest.approx(by_hand, rel=0.01)


def test_what_the_photo_ruled_out_and_a_person_found_speaks_against_no_rate():
    photo = np.eye(7, dtype=np.float32)[[2]]
    learned = fit_error_model(ASSUMED, Recounts(photo, np.array([2]), np.array([5])), LABELS)
    assert learned.model.rate == pytest.approx(ASSUMED.rate, rel=0.01)
    learned = fit_error_model(ASSUMED, Recounts(photo, np.array([4]), np.array([4])), LABELS)
    assert learned.model.rate == pytest.approx(ASSUMED.rate, rel=0.01)


def test_recounts_come_out_alike_however_many_are_looked_at_at_once():
    recounts = recounted_top(ErrorModel(0.05), bins=12_000, capacity=6000)
    backwards = Recounts(recounts.probabilities[::-1], recounts.expected[::-1], recounts.found[::-1])
    one, other = (fit_error_model(ASSUMED, each, LABELS).model for each in (recounts, backwards))
    assert one.rate == pytest.approx(other.rate, rel=1e-9)
