"""Fit the error model to recounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from reconcile.discrepancy.error_model import ErrorModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reconcile.labels import CountLabels


PRIOR_STRENGTH = 100
"""The number of recounts that the assumed error rate is worth. With fewer recounts, the assumption weighs more."""
_RATES = 1 / (1 + np.exp(-np.linspace(-11.5, 3.5, 121)))  # 1 in 100,000 to 97 %, evenly in log odds
_DECAYS = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
_EMPTY_WEIGHTS = np.array([0.25, 0.5, 1.0, 2.0, 4.0])
_QUANTILES = 15
_MIN_PROBABILITY = 1e-6
"""The smallest probability that one recount can have."""
_RECOUNTS_AT_ONCE = 5000
"""The number of recounts in one pass, so that memory does not grow with them."""


@dataclass(frozen=True)
class Recounts:
    """V bins that a person recounted and whose counts the labels of one model cover."""

    probabilities: NDArray[np.floating]
    """P(c|x), the model's probabilities, float [V, labels]."""
    expected: NDArray[np.integer]
    """The index of the label on record at the time, int [V]."""
    counted: NDArray[np.integer]
    """The index of the label that the person counted, int [V]."""


@dataclass(frozen=True)
class FittedErrorModel:
    """The error model after the recounts, and the uncertainty of its rate."""

    model: ErrorModel
    """The posterior means of the parameters."""
    rates: NDArray[np.float64]
    """Equally likely values of the rate π, rising, float64 [15]."""


def fit_error_model(assumed: ErrorModel, recounts: Recounts | None, labels: CountLabels) -> FittedErrorModel:
    """Return the posterior of the error model given the results of recounts.

    The bins of a queue are not a random sample. They were chosen because photo x and record e disagree, so the fraction
    of wrong records among them is many times too high. But they were chosen by x and e alone. Given x and e, the count
    c that a person finds is distributed as in any other bin:

        P(recount = c | x, e) = P(c|x) P(e|c) / Σ_c' P(c'|x) P(e|c')

    The product of these terms over the recounts is a likelihood of π, decay and empty weight. The choice of bins does
    not bias this likelihood. Selection is ignorable if it depends only on observed data (Rubin 1976, Inference and
    Missing Data, Biometrika 63:581-592).

    The prior of π is Beta(B · π₀, B · (1 − π₀)), where π₀ is the assumed rate and B is `PRIOR_STRENGTH`. B is larger if
    `PRIOR_STRENGTH` bins would hold fewer than one wrong, or fewer than one correct, record. The priors of decay and
    empty weight are log-normal. They allow factors of about 1.5 and 2 around the assumed values. The posterior is
    computed on a grid.

    Args:
        assumed: the error model before any recount.
        recounts: the counts of people; None if nobody has recounted a bin yet.
        labels: the labels of the model.

    Returns:
        the posterior means, and quantiles of the posterior of π. Without recounts, the model is `assumed`.
    """
    logs = np.empty((len(_RATES), len(_DECAYS), len(_EMPTY_WEIGHTS)))
    for j, decay in enumerate(_DECAYS):
        for k, weight in enumerate(_EMPTY_WEIGHTS):
            model = ErrorModel(assumed.rate, float(decay), float(weight))
            logs[:, j, k] = _log_prior(model, assumed)
            if recounts is not None:
                logs[:, j, k] += _log_likelihood(model.error_matrix(labels), recounts)
    posterior = np.exp(logs - logs.max())
    posterior /= posterior.sum()
    of_rate = posterior.sum(axis=(1, 2))
    if recounts is None:
        model = assumed
    else:
        model = ErrorModel(
            rate=float(of_rate @ _RATES),
            decay=float(posterior.sum(axis=(0, 2)) @ _DECAYS),
            empty_weight=float(np.exp(posterior.sum(axis=(0, 1)) @ np.log(_EMPTY_WEIGHTS))),
        )
    quantiles = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    rates = np.interp(quantiles, np.cumsum(of_rate) - of_rate / 2, _RATES)
    return FittedErrorModel(model, rates)


def _log_prior(model: ErrorModel, assumed: ErrorModel) -> NDArray[np.float64]:
    """Return the log prior of every rate on the grid, with the decay and empty weight of `model`: float64 [rates]."""
    # The grid is even in log odds, so each rate stands for an interval of width rate · (1 − rate). This factor replaces
    # the two −1 in the exponents of the Beta density.
    strength = max(PRIOR_STRENGTH, 1 / assumed.rate, 1 / (1 - assumed.rate))
    beta: NDArray[np.float64] = strength * (assumed.rate * np.log(_RATES) + (1 - assumed.rate) * np.log1p(-_RATES))
    decay = -0.5 * (np.log(model.decay / assumed.decay) / 0.4) ** 2
    weight = -0.5 * (np.log(model.empty_weight / assumed.empty_weight) / 0.7) ** 2
    return beta + float(decay + weight)


def _log_likelihood(q: NDArray[np.float64], recounts: Recounts) -> NDArray[np.float64]:
    """Return the log likelihood of every rate on the grid, given the error matrix q(e|c): float64 [rates]."""
    total = np.zeros(len(_RATES))
    for start in range(0, len(recounts.counted), _RECOUNTS_AT_ONCE):
        part = slice(start, start + _RECOUNTS_AT_ONCE)
        photo = recounts.probabilities[part].astype(np.float64)
        expected, counted = recounts.expected[part], recounts.counted[part]
        rows = np.arange(len(counted))
        if_correct = photo[rows, expected]
        if_wrong = (photo * q[:, expected].T).sum(axis=1)
        is_correct = counted == expected
        of_counted = np.where(is_correct, if_correct, photo[rows, counted] * q[counted, expected])
        evidence = (1 - _RATES[:, None]) * if_correct + _RATES[:, None] * if_wrong
        prior = np.where(is_correct, 1 - _RATES[:, None], _RATES[:, None])
        probabilities = prior * of_counted / np.maximum(evidence, 1e-300)
        # A person may find a count that the photo rules out, because the bin changed in between. No rate explains that.
        total += np.log(np.maximum(probabilities, _MIN_PROBABILITY)).sum(axis=1)
    return total
