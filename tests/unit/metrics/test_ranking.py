"""The figures of an order against scikit-learn, against every order of the tied, and rivals against cleanlab."""

import itertools

import numpy as np
import pytest
from cleanlab.rank import get_label_quality_scores
from sklearn.metrics import average_precision_score, roc_auc_score

from reconcile.evaluation.planted.baselines import disagreement, margin, self_confidence
from reconcile.metrics.ranking import rank


def drawn(seed, bins=200, levels=None):
    """Scores, of which some are the same, and what is wrong: rather those with high scores."""
    rng = np.random.default_rng(seed)
    scores = rng.random(bins) if levels is None else rng.integers(0, levels, bins) / levels
    return scores, rng.random(bins) < 0.05 + 0.3 * scores**3


def hits_over_all_orders(scores, wrong, first):
    """The mean number of wrong ones among the first, over every order in which no score rises."""
    groups = [np.flatnonzero(scores == score) for score in sorted(set(scores), reverse=True)]
    orders = itertools.product(*(itertools.permutations(group) for group in groups))
    return np.mean([wrong[list(itertools.chain(*order))][:first].sum() for order in orders])


@pytest.mark.parametrize("levels", [None, 40, 5, 2, 1])
def test_auroc_and_average_precision_are_those_of_scikit_learn(levels):
    for seed in range(10):
        scores, wrong = drawn(seed, levels=levels)
        found = rank(scores, wrong, [10])
        assert found.auroc[0] == pytest.approx(roc_auc_score(wrong, scores))
        assert found.average_precision[0] == pytest.approx(average_precision_score(wrong, scores))


@pytest.mark.parametrize("levels", [None, 40, 2])
def test_a_bin_that_is_drawn_twice_counts_twice(levels):
    scores, wrong = drawn(3, levels=levels)
    rng = np.random.default_rng(4)
    weights = rng.multinomial(200, np.full(200, 1 / 200), size=20)
    found = rank(scores, wrong, [5, 50], weights)
    for row, drawn_often in enumerate(weights):
        assert found.auroc[row] == pytest.approx(roc_auc_score(wrong, scores, sample_weight=drawn_often))
        precision = average_precision_score(wrong, scores, sample_weight=drawn_often)
        assert found.average_precision[row] == pytest.approx(precision)
        again = rank(np.repeat(scores, drawn_often), np.repeat(wrong, drawn_often), [5, 50])
        np.testing.assert_allclose(found.hits[row], again.hits[0])


def test_hits_are_the_mean_over_all_orders_of_the_tied():
    scores = np.array([0.9, 0.5, 0.5, 0.5, 0.5, 0.2, 0.1, 0.1])
    wrong = np.array([False, True, False, True, False, False, True, False])
    hits = rank(scores, wrong, range(1, 9)).hits[0]
    for first in range(1, 9):
        assert hits[first - 1] == pytest.approx(hits_over_all_orders(scores, wrong, first))


def test_scores_that_are_all_the_same_rank_as_random_order_does():
    wrong = np.arange(50) < 5
    found = rank(np.zeros(50), wrong, [10, 50])
    assert (found.auroc[0], found.average_precision[0]) == (0.5, 0.1)
    assert found.hits[0].tolist() == [1.0, 5.0]


def test_the_best_and_the_worst_order():
    wrong = np.arange(50) < 5
    best, worst = rank(-np.arange(50.0), wrong, [3, 10]), rank(np.arange(50.0), wrong, [3, 10])
    assert (best.auroc[0], best.average_precision[0], best.hits[0].tolist()) == (1.0, 1.0, [3.0, 5.0])
    assert (worst.auroc[0], worst.hits[0].tolist()) == (0.0, [0.0, 0.0])


def test_many_rows_of_weights_are_worked_on_in_parts(monkeypatch):
    scores, wrong = drawn(5, levels=30)
    weights = np.random.default_rng(6).multinomial(200, np.full(200, 1 / 200), size=17)
    whole = rank(scores, wrong, [20], weights)
    monkeypatch.setattr("reconcile.metrics.ranking._AT_A_TIME", 1000)
    parts = rank(scores, wrong, [20], weights)
    for figure in ("auroc", "average_precision", "hits"):
        np.testing.assert_array_equal(getattr(whole, figure), getattr(parts, figure))


@pytest.mark.parametrize("labels", [2, 7])
def test_rivals_are_those_of_cleanlab(labels):
    rng = np.random.default_rng(7)
    shares = rng.dirichlet(np.full(labels, 0.7), size=300)
    records = rng.integers(0, labels, size=300)
    quality = get_label_quality_scores(records, shares, method="self_confidence")
    np.testing.assert_allclose(-self_confidence(shares, records), quality)
    quality = get_label_quality_scores(records, shares, method="normalized_margin")
    np.testing.assert_allclose((1 - margin(shares, records)) / 2, quality)


def test_disagreement_is_whether_the_count_differs_from_the_record():
    shares = np.array([[0.6, 0.3, 0.1], [0.2, 0.3, 0.5]])
    assert disagreement(shares, np.array([0, 1])).tolist() == [0.0, 1.0]


def test_scoring_leaves_the_probabilities_alone():
    shares = np.random.default_rng(8).dirichlet(np.ones(7), size=20)
    before = shares.copy()
    for score in (self_confidence, margin, disagreement):
        score(shares, np.zeros(20, dtype=np.int64))
    np.testing.assert_array_equal(shares, before)
