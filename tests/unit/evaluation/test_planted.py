"""Altered records, and what is told of finding them, on nights whose truth and probabilities are drawn."""

import dataclasses
import json

import numpy as np
import pytest

from reconcile.config import parse_rate
from reconcile.discrepancy.error_model import ErrorModel
from reconcile.discrepancy.posterior import p_wrong, posterior
from reconcile.errors import ReconcileError, UsageError
from reconcile.evaluation.planted.benchmark import PLANTINGS, evaluate_planted
from reconcile.evaluation.planted.injection import inject_errors, number_to_inject
from reconcile.labels import CountLabels

SEVEN = CountLabels(("0", "1", "2", "3", "4", "5", "6+"))
CLOSED = CountLabels(("0", "1", "2", "3", "4", "5"))
TWO = CountLabels(("0", "1+"))


def night(bins, seed=1, labels=SEVEN):
    """Probabilities that mean what they say, and the truth: what is seen is blurred, more in some bins."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, len(labels.names), size=bins)
    blur = rng.choice([0.4, 0.8, 1.6], size=bins)
    seen = truth + rng.normal(0, 1, size=bins) * blur
    shares = np.exp(-((np.arange(len(labels.names)) - seen[:, None]) ** 2) / (2 * blur[:, None] ** 2))
    return shares / shares.sum(axis=1, keepdims=True), truth


def evaluated(bins=600, seed=1, labels=SEVEN, rate=0.08, shares=None):
    probabilities, truth = night(bins, seed, labels)
    prior = (1 / len(labels.names),) * len(labels.names)
    return evaluate_planted(probabilities if shares is None else shares, truth, labels, prior, rate, seed)


@pytest.fixture(scope="module")
def found():
    return evaluated()


@pytest.fixture(scope="module")
def of_many():
    return evaluated(bins=4000)


@pytest.mark.parametrize("labels", [SEVEN, CLOSED, TWO])
@pytest.mark.parametrize("rate", [0.01, 0.08, 0.5, 0.99])
def test_exactly_the_share_of_records_is_altered_each_to_another_label(labels, rate):
    truth = night(500, labels=labels)[1]
    planting = inject_errors(truth, labels, ErrorModel(rate), np.random.default_rng(1))
    assert planting.wrong.sum() == round(rate * 500)
    np.testing.assert_array_equal(planting.wrong, planting.expected != truth)
    assert planting.expected.min() >= 0
    assert planting.expected.max() < len(labels.names)


@pytest.mark.parametrize("decay", [0.5, 1.0])
def test_sizes_follow_the_error_model(decay):
    errors = ErrorModel(0.5, decay)
    planting = inject_errors(np.full(400_000, 2), SEVEN, errors, np.random.default_rng(1))
    shares = np.bincount(planting.expected, minlength=7) / 400_000
    np.testing.assert_allclose(shares, errors.record_given_truth(SEVEN)[2], atol=0.003)


def test_slips_are_mostly_by_one_or_two_items_and_uniform_errors_are_not():
    truth = night(5000)[1]
    near = []
    for decay in (0.5, 1.0):
        planting = inject_errors(truth, SEVEN, ErrorModel(0.3, decay), np.random.default_rng(1))
        near.append((np.abs(planting.expected - truth)[planting.wrong] <= 2).mean())
    assert near[0] > 0.75
    assert near[1] < 0.6


def test_the_same_seed_alters_the_same_records_and_another_seed_others():
    truth = night(500)[1]
    first, again, other = (
        inject_errors(truth, SEVEN, ErrorModel(0.08), np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.expected, again.expected)
    assert (first.wrong != other.wrong).any()


def test_planting_leaves_the_truth_alone():
    truth = night(500)[1]
    before = truth.copy()
    inject_errors(truth, SEVEN, ErrorModel(0.5), np.random.default_rng(1))
    np.testing.assert_array_equal(truth, before)


@pytest.mark.parametrize(("text", "rate"), [("8%", 0.08), ("0.08", 0.08), (" 0.5% ", 0.005), ("99.9%", 0.999)])
def test_a_rate_is_a_share_or_a_percentage(text, rate):
    assert parse_rate(text) == pytest.approx(rate)


@pytest.mark.parametrize("text", ["0", "0%", "100%", "1", "-8%", "8", "nan", "some", ""])
def test_another_rate_is_wrong_usage(text):
    with pytest.raises(UsageError, match="--plant: expected more than 0% and less than 100%"):
        parse_rate(text)


def test_too_few_bins_to_alter_one_or_to_leave_one():
    assert number_to_inject(0.08, 7) == 1
    with pytest.raises(ReconcileError, match=r"--plant 8.000% of 6 labelled bins is not one record"):
        number_to_inject(0.08, 6)
    with pytest.raises(ReconcileError, match="every record"):
        number_to_inject(0.99, 6)


def test_a_model_that_knows_every_count_finds_all_that_is_wrong():
    truth = night(600)[1]
    found = evaluated(shares=np.where(np.eye(7)[truth] > 0, 0.994, 0.001))
    for errors in found.errors:
        ours = errors.methods[0]
        assert (ours.auroc.value, ours.average_precision.value) == (1.0, 1.0)
        assert [first.precision.value for first in ours.first[:3]] == [1.0, 1.0, 1.0]
        assert ours.first[2].recall.value == pytest.approx(30 / 48)
        assert ours.first[2].lift.value == pytest.approx(600 / 48)
        assert errors.numbers[2].found.value == 30


def test_a_model_that_knows_nothing_ranks_as_random_order_does():
    found = evaluated(shares=np.full((600, 7), 1 / 7))
    rivals = found.errors[1].methods[1:3]
    assert [method.auroc.value for method in rivals] == [0.5, 0.5]
    assert [first.lift.value for method in rivals for first in method.first] == pytest.approx([1.0] * 8)
    assert [method.average_precision.value for method in rivals] == pytest.approx([0.08] * 2)


def test_the_figures_agree_with_planting_and_looking_one_by_one(found):
    probabilities, truth = night(600)
    hits, said, wrong_of_high = [], [], []
    for number in range(PLANTINGS):
        planting = inject_errors(truth, SEVEN, ErrorModel(0.08), np.random.default_rng(1 + number))
        joint = posterior(probabilities, planting.expected, SEVEN, ErrorModel(0.08))
        p = p_wrong(joint, planting.expected)
        queue = sorted(range(600), key=lambda place, p=p: -p[place])[:30]
        hits.append(sum(bool(planting.wrong[place]) for place in queue))
        said.append(sum(p[place] for place in queue))
        wrong_of_high += [bool(wrong) for wrong, share in zip(planting.wrong, p, strict=True) if share >= 0.4]
    slips = found.errors[0]
    assert (found.bins, found.wrong, found.plantings, slips.corrected) == (600, 48, 20, 0)
    first = slips.methods[0].first[2]
    assert (first.share, first.bins) == (0.05, 30)
    assert first.wrong.value == pytest.approx(np.mean(hits))
    assert first.precision.value == pytest.approx(np.mean(hits) / 30)
    assert first.recall.value == pytest.approx(np.mean(hits) / 48)
    assert first.lift.value == pytest.approx(np.mean(hits) / 30 / 0.08)
    assert slips.numbers[2].predicted == pytest.approx(np.mean(said))
    assert slips.numbers[2].found == first.wrong
    assert slips.ranges[-1].bins == pytest.approx(len(wrong_of_high) / 20)
    assert slips.ranges[-1].wrong.value == pytest.approx(np.mean(wrong_of_high))


def test_every_bin_lies_in_one_range_of_p_wrong(found):
    for errors in found.errors:
        assert sum(row.bins for row in errors.ranges) == pytest.approx(600)
        assert sum(row.bins * row.wrong.value for row in errors.ranges) == pytest.approx(48)
        assert all(row.low <= row.p_wrong < row.high for row in errors.ranges)


def test_the_predicted_numbers_come_true_where_probabilities_and_error_model_are_honest(of_many):
    slips = of_many.errors[0]
    assert slips.calibration_error < 0.01
    for number in slips.numbers:
        assert number.found.low <= number.predicted <= number.found.high
        assert number.predicted_range[0] <= number.predicted <= number.predicted_range[1]
        assert number.inside >= 15


def test_slips_are_found_better_by_knowing_that_they_are_small(of_many):
    assert all(method.lead.low > 0 for method in of_many.errors[0].methods[1:])


def test_intervals_tell_of_other_bins_too(found, monkeypatch):
    """Nights of other bins differ by more than altering other records of the same bins: the interval knows it."""
    monkeypatch.setattr("reconcile.evaluation.planted.benchmark._RESAMPLES", 2)  # their own intervals are not looked at
    others = [evaluated(seed=100 * seed).errors[0].methods[0].average_precision.value for seed in range(2, 22)]
    told = found.errors[0].methods[0].average_precision
    spread = np.std(others, ddof=1)
    assert 0.6 * spread < (told.high - told.low) / 2 / 1.96 < 1.6 * spread


def test_one_night_varies_more_than_the_mean_of_many(found):
    for errors in found.errors:
        for number in errors.numbers:
            low, high = number.one_night
            assert low <= number.found.low <= number.found.value <= number.found.high <= high


def test_the_rate_changes_no_order():
    """p_wrong is told the rate; told another one, it would rank the same."""
    probabilities, truth = night(600)
    probabilities = 0.99 * probabilities + 0.01 / 7  # no p_wrong so near to 1 that rounding makes ties
    expected = inject_errors(truth, SEVEN, ErrorModel(0.08), np.random.default_rng(1)).expected
    orders = [
        np.argsort(p_wrong(posterior(probabilities, expected, SEVEN, ErrorModel(rate)), expected))
        for rate in (0.01, 0.3)
    ]
    np.testing.assert_array_equal(*orders)


def test_a_night_of_another_mix_is_corrected_as_a_night_is():
    probabilities, truth = night(2800)
    kept = np.flatnonzero((truth < 2) | (np.arange(2800) % 8 == 0))
    found = evaluate_planted(probabilities[kept], truth[kept], SEVEN, (1 / 7,) * 7, 0.08, 1)
    assert [errors.corrected for errors in found.errors] == [PLANTINGS, PLANTINGS]


@pytest.mark.parametrize(("labels", "bins", "rate"), [(SEVEN, 2, 0.5), (TWO, 3, 0.4), (CLOSED, 13, 0.08)])
def test_a_handful_of_bins_still_gives_numbers(labels, bins, rate):
    found = evaluated(bins=bins, labels=labels, rate=rate)
    json.dumps(dataclasses.asdict(found), allow_nan=False)
    assert all(first.bins >= 1 for first in found.errors[0].methods[0].first)


def test_the_same_seed_gives_the_same_figures(found):
    assert evaluated() == found
