"""Ranking figures against scikit-learn and all orders of ties, and baselines against cleanlab."""

import itertools

import numpy as np
import pytest
from cleanlab.rank import get_label_quality_scores
from sklearn.metrics import average_precision_score, roc_auc_score

from reconcile.evaluation.planted.baselines import disagreement, margin, self_confidence
from reconcile.metrics.ranking import rank


def random_scores(seed, bins=200, levels=None):
    """Return scores, with ties if `levels` is given, and which bins are wrong: rather those with high scores."""
    rng = np.random.default_rng(seed)
    scores = rng.random(bins) if levels is None else rng.integers(0, levels, bins) / levels
    return scores, rng.random(bins) < 0.05 + 0.3 * scores**3


def hits_over_all_orders(scores, wrong, first):
    """Return the mean number of wrong bins among the first, over all orders in which no score rises."""
    groups = [np.flatnonzero(scores == score) for score in sorted(set(scores), reverse=True)]
    orders = itertools.product(*(itertools.permutations(group) for group in groups))
    return np.mean([wrong[list(itertools.chain(*order))][:first].sum() for order in orders])


@pytest.mark.parametrize("levels", [None, 40, 5, 2, 1])
def test_auroc_and_average_precision_agree_with_scikit_learn(levels):
    for seed in range(10):
        scores, wrong = random_scores(seed, levels=levels)
        ranking = rank(scores, wrong, [10])
        assert ranking.auroc[0] == pytest.approx(roc_auc_score(wrong, scores))
        assert ranking.average_precision[0] == pytest.approx(average_precision_score(wrong, scores))


@pytest.mark.parametrize("levels", [None, 40, 2])
def test_bin_with_weight_two_counts_twice(levels):
    scores, wrong = random_scores(3, levels=levels)
    rng = np.random.default_rng(4)
    weights = rng.multinomial(200, np.full(200, 1 / 200), size=20)
    ranking = rank(scores, wrong, [5, 50], weights)
    for row, weight in enumerate(weights):
        assert ranking.auroc[row] == pytest.approx(roc_auc_score(wrong, scores, sample_weight=weight))
        precision = average_precision_score(wrong, scores, sample_weight=weight)
        assert ranking.average_precision[row] == pytest.approx(precision)
        repeated = rank(np.repeat(scores, weight), np.repeat(wrong, weight), [5, 50])
        np.testing.assert_allclose(ranking.hits[row], repeated.hits[0])


def test_hits_are_the_mean_over_all_orders_of_ties():
    scores = np.array([0.9, 0.5, 0.5, 0.5, 0.5, 0.2, 0.1, 0.1])
    wrong = np.array([False, True, False, True, False, False, True, False])
    hits = rank(scores, wrong, range(1, 9)).hits[0]
    for first in range(1, 9):
        assert hits[first - 1] == pytest.approx(hits_over_all_orders(scores, wrong, first))


def test_equal_scores_rank_like_random_order():
    wrong = np.arange(50) < 5
    ranking = rank(np.zeros(50), wrong, [10, 50])
    assert (ranking.auroc[0], ranking.average_precision[0]) == (0.5, 0.1)
    assert ranking.hits[0].tolist() == [1.0, 5.0]


def test_best_and_worst_order_have_extreme_figures():
    wrong = np.arange(50) < 5
    best, worst = rank(-np.arange(50.0), wrong, [3, 10]), rank(np.arange(50.0), wrong, [3, 10])
    assert (best.auroc[0], best.average_precision[0], best.hits[0].tolist()) == (1.0, 1.0, [3.0, 5.0])
    assert (worst.auroc[0], worst.hits[0].tolist()) == (0.0, [0.0, 0.0])


def test_many_rows_of_weights_give_the_same_figures_in_parts(monkeypatch):
    scores, wrong = random_scores(5, levels=30)
    weights = np.random.default_rng(6).multinomial(200, np.full(200, 1 / 200), size=17)
    whole = rank(scores, wrong, [20], weights)
    monkeypatch.setattr("reconcile.metrics.ranking._WEIGHTS_AT_ONCE", 1000)
    parts = rank(scores, wrong, [20], weights)
    for figure in ("auroc", "average_precision", "hits"):
        np.testing.assert_array_equal(getattr(whole, figure), getattr(parts, figure))


@pytest.mark.parametrize("labels", [2, 7])
def test_baselines_agree_with_cleanlab(labels):
    rng = np.random.default_rng(7)
    probabilities = rng.dirichlet(np.full(labels, 0.7), size=300)
    records = rng.integers(0, labels, size=300)
    quality = get_label_quality_scores(records, probabilities, method="self_confidence")
    np.testing.assert_allclose(-self_confidence(probabilities, records), quality)
    quality = get_label_quality_scores(records, probabilities, method="normalized_margin")
    np.testing.assert_allclose((1 - margin(probabilities, records)) / 2, quality)


def test_disagreement_is_one_if_count_differs_from_record():
    probabilities = np.array([[0.6, 0.3, 0.1], [0.2, 0.3, 0.5]])
    assert disagreement(probabilities, np.array([0, 1])).tolist() == [0.0, 1.0]


def test_baselines_do_not_change_the_probabilities():
    probabilities = np.random.default_rng(8).dirichlet(np.ones(7), size=20)
    before = probabilities.copy()
    for score in (self_confidence, margin, disagreement):
        score(probabilities, np.zeros(20, dtype=np.int64))
    np.testing.assert_array_equal(probabilities, before)
