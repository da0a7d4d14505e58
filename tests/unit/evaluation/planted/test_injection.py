"""Injected errors: how many records are altered, and to which labels."""

import numpy as np
import pytest

from reconcile.config import parse_rate
from reconcile.discrepancy.error_model import ErrorModel
from reconcile.errors import ReconcileError, UsageError
from reconcile.evaluation.planted.injection import inject_errors, number_to_inject
from tests.unit.evaluation.planted.random_bins import CLOSED, SEVEN, TWO, random_bins


@pytest.mark.parametrize("labels", [SEVEN, CLOSED, TWO])
@pytest.mark.parametrize("rate", [0.01, 0.08, 0.5, 0.99])
def test_exact_fraction_of_records_is_altered_to_other_labels(labels, rate):
    truth = random_bins(500, labels=labels)[1]
    injection = inject_errors(truth, labels, ErrorModel(rate), np.random.default_rng(1))
    assert injection.wrong.sum() == round(rate * 500)
    np.testing.assert_array_equal(injection.wrong, injection.expected != truth)
    assert injection.expected.min() >= 0
    assert injection.expected.max() < len(labels.names)


@pytest.mark.parametrize("decay", [0.5, 1.0])
def test_sizes_of_errors_follow_the_error_model(decay):
    errors = ErrorModel(0.5, decay)
    injection = inject_errors(np.full(400_000, 2), SEVEN, errors, np.random.default_rng(1))
    fractions = np.bincount(injection.expected, minlength=7) / 400_000
    np.testing.assert_allclose(fractions, errors.record_given_truth(SEVEN)[2], atol=0.003)


def test_slips_are_small_and_uniform_errors_are_not():
    truth = random_bins(5000)[1]
    near = []
    for decay in (0.5, 1.0):
        injection = inject_errors(truth, SEVEN, ErrorModel(0.3, decay), np.random.default_rng(1))
        near.append((np.abs(injection.expected - truth)[injection.wrong] <= 2).mean())
    assert near[0] > 0.75
    assert near[1] < 0.6


def test_altered_records_depend_only_on_the_seed():
    truth = random_bins(500)[1]
    first, repeated, other = (
        inject_errors(truth, SEVEN, ErrorModel(0.08), np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.expected, repeated.expected)
    assert (first.wrong != other.wrong).any()


def test_injection_does_not_change_the_truth():
    truth = random_bins(500)[1]
    before = truth.copy()
    inject_errors(truth, SEVEN, ErrorModel(0.5), np.random.default_rng(1))
    np.testing.assert_array_equal(truth, before)


@pytest.mark.parametrize(("text", "rate"), [("8%", 0.08), ("0.08", 0.08), (" 0.5% ", 0.005), ("99.9%", 0.999)])
def test_rate_is_a_fraction_or_a_percentage(text, rate):
    assert parse_rate(text) == pytest.approx(rate)


@pytest.mark.parametrize("text", ["0", "0%", "100%", "1", "-8%", "8", "nan", "some", ""])
def test_rate_outside_zero_to_one_is_wrong_usage(text):
    with pytest.raises(UsageError, match="--plant: expected more than 0% and less than 100%"):
        parse_rate(text)


def test_rate_that_alters_no_or_every_record_is_refused():
    assert number_to_inject(0.08, 7) == 1
    with pytest.raises(ReconcileError, match=r"--plant 8.000% of 6 labelled bins alters no record; use more bins"):
        number_to_inject(0.08, 6)
    with pytest.raises(ReconcileError, match="every record"):
        number_to_inject(0.99, 6)
