"""The benchmark of the recount queue on random bins."""

import dataclasses
import json

import numpy as np
import pytest

from reconcile.discrepancy.error_model import ErrorModel
from reconcile.discrepancy.posterior import p_wrong, posterior
from reconcile.evaluation.planted.benchmark import REPETITIONS, evaluate_planted
from reconcile.evaluation.planted.injection import inject_errors
from tests.unit.evaluation.planted.random_bins import CLOSED, SEVEN, TWO, benchmark, random_bins


@pytest.fixture(scope="module")
def result():
    return benchmark()


@pytest.fixture(scope="module")
def result_of_many():
    return benchmark(bins=4000)


def test_perfect_model_finds_all_wrong_records():
    truth = random_bins(600)[1]
    result = benchmark(probabilities=np.where(np.eye(7)[truth] > 0, 0.994, 0.001))
    for errors in result.errors:
        ours = errors.methods[0]
        assert (ours.auroc.value, ours.average_precision.value) == (1.0, 1.0)
        assert [first.precision.value for first in ours.first[:3]] == [1.0, 1.0, 1.0]
        assert ours.first[2].recall.value == pytest.approx(30 / 48)
        assert ours.first[2].lift.value == pytest.approx(600 / 48)
        assert errors.numbers[2].found.value == 30


def test_uninformative_model_ranks_like_random_order():
    result = benchmark(probabilities=np.full((600, 7), 1 / 7))
    baselines = result.errors[1].methods[1:3]
    assert [method.auroc.value for method in baselines] == [0.5, 0.5]
    assert [first.lift.value for method in baselines for first in method.first] == pytest.approx([1.0] * 8)
    assert [method.average_precision.value for method in baselines] == pytest.approx([0.08] * 2)


def test_figures_agree_with_altering_and_counting_one_by_one(result):
    probabilities, truth = random_bins(600)
    hits, predicted, wrong_of_high = [], [], []
    for number in range(REPETITIONS):
        injection = inject_errors(truth, SEVEN, ErrorModel(0.08), np.random.default_rng(1 + number))
        posteriors = posterior(probabilities, injection.expected, SEVEN, ErrorModel(0.08))
        p = p_wrong(posteriors, injection.expected)
        queue = sorted(range(600), key=lambda index, p=p: -p[index])[:30]
        hits.append(sum(bool(injection.wrong[index]) for index in queue))
        predicted.append(sum(p[index] for index in queue))
        wrong_of_high += [bool(wrong) for wrong, p_of_bin in zip(injection.wrong, p, strict=True) if p_of_bin >= 0.4]
    slips = result.errors[0]
    assert (result.bins, result.wrong, result.plantings, slips.corrected) == (600, 48, 20, 0)
    first = slips.methods[0].first[2]
    assert (first.share, first.bins) == (0.05, 30)
    assert first.wrong.value == pytest.approx(np.mean(hits))
    assert first.precision.value == pytest.approx(np.mean(hits) / 30)
    assert first.recall.value == pytest.approx(np.mean(hits) / 48)
    assert first.lift.value == pytest.approx(np.mean(hits) / 30 / 0.08)
    assert slips.numbers[2].predicted == pytest.approx(np.mean(predicted))
    assert slips.numbers[2].found == first.wrong
    assert slips.ranges[-1].bins == pytest.approx(len(wrong_of_high) / 20)
    assert slips.ranges[-1].wrong.value == pytest.approx(np.mean(wrong_of_high))


def test_every_bin_is_in_one_range_of_p_wrong(result):
    for errors in result.errors:
        assert sum(row.bins for row in errors.ranges) == pytest.approx(600)
        assert sum(row.bins * row.wrong.value for row in errors.ranges) == pytest.approx(48)
        assert all(row.low <= row.p_wrong < row.high for row in errors.ranges)


def test_predicted_numbers_are_right_if_the_assumptions_hold(result_of_many):
    slips = result_of_many.errors[0]
    assert slips.calibration_error < 0.01
    for number in slips.numbers:
        assert number.found.low <= number.predicted <= number.found.high
        assert number.predicted_range[0] <= number.predicted <= number.predicted_range[1]
        assert number.inside >= 15


def test_p_wrong_ranks_slips_better_than_all_baselines(result_of_many):
    assert all(method.lead.low > 0 for method in result_of_many.errors[0].methods[1:])


def test_intervals_include_the_choice_of_bins(result, monkeypatch):
    """Results on other bins differ by more than results of other altered records of the same bins."""
    monkeypatch.setattr("reconcile.evaluation.planted.benchmark._RESAMPLES", 2)  # the other intervals are not used
    others = [benchmark(seed=100 * seed).errors[0].methods[0].average_precision.value for seed in range(2, 22)]
    precision = result.errors[0].methods[0].average_precision
    spread = np.std(others, ddof=1)
    assert 0.6 * spread < (precision.high - precision.low) / 2 / 1.96 < 1.6 * spread


def test_one_run_varies_more_than_the_mean_of_many(result):
    for errors in result.errors:
        for number in errors.numbers:
            low, high = number.one_night
            assert low <= number.found.low <= number.found.value <= number.found.high <= high


def test_assumed_rate_does_not_change_the_order():
    probabilities, truth = random_bins(600)
    probabilities = 0.99 * probabilities + 0.01 / 7  # so that no p_wrong is rounded to 1, which would make ties
    expected = inject_errors(truth, SEVEN, ErrorModel(0.08), np.random.default_rng(1)).expected
    orders = [
        np.argsort(p_wrong(posterior(probabilities, expected, SEVEN, ErrorModel(rate)), expected))
        for rate in (0.01, 0.3)
    ]
    np.testing.assert_array_equal(*orders)


def test_label_shift_is_corrected_as_in_a_run():
    probabilities, truth = random_bins(2800)
    kept = np.flatnonzero((truth < 2) | (np.arange(2800) % 8 == 0))
    result = evaluate_planted(probabilities[kept], truth[kept], SEVEN, (1 / 7,) * 7, 0.08, 1)
    assert [errors.corrected for errors in result.errors] == [REPETITIONS, REPETITIONS]


@pytest.mark.parametrize(("labels", "bins", "rate"), [(SEVEN, 2, 0.5), (TWO, 3, 0.4), (CLOSED, 13, 0.08)])
def test_few_bins_give_finite_figures(labels, bins, rate):
    result = benchmark(bins=bins, labels=labels, rate=rate)
    json.dumps(dataclasses.asdict(result), allow_nan=False)
    assert all(first.bins >= 1 for first in result.errors[0].methods[0].first)


def test_same_seed_gives_the_same_result(result):
    assert benchmark() == result
