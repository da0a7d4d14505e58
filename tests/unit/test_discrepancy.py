"""p_wrong against a version written out loop by loop from the derivation."""

import numpy as np
import pytest

from reconcile.discrepancy import p_wrong


def by_hand(shares, record, error_rate):
    """Bayes' rule over every true count, one at a time."""
    labels = len(shares)
    right = shares[record] * (1 - error_rate)
    wrong = 0.0
    for truth in range(labels):
        if truth == record:
            continue
        weights = [0.5 ** abs(other - truth) for other in range(labels) if other != truth]
        wrong += shares[truth] * error_rate * 0.5 ** abs(record - truth) / sum(weights)
    return wrong / (right + wrong)


def test_agrees_with_bayes_rule_written_out():
    rng = np.random.default_rng(3)
    shares = rng.dirichlet(np.full(7, 0.7), size=200)
    records = rng.integers(0, 7, size=200)
    for error_rate in (0.001, 0.03, 0.4):
        expected = [by_hand(row, record, error_rate) for row, record in zip(shares, records, strict=True)]
        np.testing.assert_allclose(p_wrong(shares, records, error_rate), expected, rtol=1e-12)


def test_a_photo_that_tells_nothing_leaves_the_error_rate():
    flat = np.full((2, 2), 0.5)
    np.testing.assert_allclose(p_wrong(flat, np.array([0, 1]), 0.03), 0.03)


def test_a_photo_that_rules_the_record_out():
    certain = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    assert p_wrong(certain, np.array([0, 0])).tolist() == [1.0, 0.0]


def test_off_by_one_is_likelier_a_slip_than_off_by_three():
    shares = np.full((2, 7), 0.02)
    shares[0, 3], shares[1, 5] = 0.88, 0.88
    near, far = p_wrong(shares, np.array([2, 2]))
    assert near > far


@pytest.mark.parametrize("rate", [0.001, 0.1])
def test_rises_with_the_assumed_error_rate(rate):
    shares = np.array([[0.2, 0.5, 0.3]])
    assert p_wrong(shares, np.array([0]), rate) < p_wrong(shares, np.array([0]), 2 * rate)
