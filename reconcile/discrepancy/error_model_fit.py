"""What recounts teach of how records go wrong: how often, and by how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from reconcile.discrepancy.error_model import ErrorModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reconcile.labels import CountLabels


PRIOR_STRENGTH = 100
"""How many recounts the assumed error rate is worth: of fewer, the assumption weighs more than what they found."""
_RATES = 1 / (1 + np.exp(-np.linspace(-11.5, 3.5, 121)))  # 1 in 100,000 to 97 %, evenly in log odds
_DECAYS = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
_EMPTY_WEIGHTS = np.array([0.25, 0.5, 1.0, 2.0, 4.0])
_QUANTILES = 15
_LEAST_LIKELY = 1e-6
_AT_ONCE = 5000
"""Recounts, so that memory does not grow with them."""


@dataclass(frozen=True)
class Recounts:
    """Bins that a person recounted, as far as the labels of one model go."""

    probabilities: NDArray[np.floating]
    """P(c|x), float [V, labels]."""
    expected: NDArray[np.integer]
    """int [V]: the place of the label of each record as it was."""
    found: NDArray[np.integer]
    """int [V]: the place of the label of what the person counted."""


@dataclass(frozen=True)
class FittedErrorModel:
    """The error model that fits assumption and recounts, and how sure its rate is."""

    model: ErrorModel
    rates: NDArray[np.float64]
    """float64 [15]: equally likely values of π, rising."""


def fit_error_model(assumed: ErrorModel, recounts: Recounts | None, labels: CountLabels) -> FittedErrorModel:
    """The posterior of the error model given what recounts found.

    A queue's bins are no random sample: they were chosen because photo x and record e disagree. But they were chosen by
    x and e alone, so what a person then finds is distributed as for any bin with that photo and record,

        P(found = c | x, e) = P(c|x) P(e|c) / Σ_c' P(c'|x) P(e|c')

    and the product of these over the recounts is a likelihood of π, decay and empty weight that the choice does not
    bias (selection is ignorable given what it looked at; Rubin 1976, Biometrika 63:581-592). A bare share of wrong
    records among the recounts would be many times too high. The prior of π is Beta(B · π₀, B · (1 − π₀)), where B is
    BELIEF, or more where π₀ is so small (or large) that BELIEF bins would hold less than one wrong (right) record;
    decay's logarithm lies within a factor of about 1.5 of the assumed one, the empty weight's within about 2. All of it
    on a grid.

    Args:
        assumed: the error model before any recount.
        recounts: what was found; None if nothing yet.
        labels: the model's.

    Returns:
        posterior means, and quantiles of π's posterior.
    """
    logs = np.empty((len(_RATES), len(_DECAYS), len(_EMPTY_WEIGHTS)))
    for j, decay in enumerate(_DECAYS):
        for k, weight in enumerate(_EMPTY_WEIGHTS):
            model = ErrorModel(decay=float(decay), empty_weight=float(weight))
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
    middles = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    rates = np.interp(middles, np.cumsum(of_rate) - of_rate / 2, _RATES)
    return FittedErrorModel(model, rates)


def _log_prior(model: ErrorModel, assumed: ErrorModel) -> NDArray[np.float64]:
    """Of every rate on the grid, with the sizes of `model`: float64 [rates]."""
    # The grid is even in log odds: each rate stands for a stretch as wide as rate · (1 − rate), which takes the place
    # of Beta's two −1.
    belief = max(PRIOR_STRENGTH, 1 / assumed.rate, 1 / (1 - assumed.rate))
    beta: NDArray[np.float64] = belief * (assumed.rate * np.log(_RATES) + (1 - assumed.rate) * np.log1p(-_RATES))
    decay = -0.5 * (np.log(model.decay / assumed.decay) / 0.4) ** 2
    weight = -0.5 * (np.log(model.empty_weight / assumed.empty_weight) / 0.7) ** 2
    return beta + float(decay + weight)


def _log_likelihood(slips: NDArray[np.float64], recounts: Recounts) -> NDArray[np.float64]:
    """Of every rate on the grid, with these sizes of errors: float64 [rates]."""
    total = np.zeros(len(_RATES))
    for start in range(0, len(recounts.found), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        photo = recounts.probabilities[part].astype(np.float64)
        expected, found = recounts.expected[part], recounts.found[part]
        each = np.arange(len(found))
        right = photo[each, expected]
        wrong = (photo * slips[:, expected].T).sum(axis=1)
        is_right = found == expected
        of_found = np.where(is_right, right, photo[each, found] * slips[found, expected])
        evidence = (1 - _RATES[:, None]) * right + _RATES[:, None] * wrong
        shares = np.where(is_right, 1 - _RATES[:, None], _RATES[:, None]) * of_found / np.maximum(evidence, 1e-300)
        # A person may find what the photo rules out (it was of another moment, say): that speaks against no rate.
        total += np.log(np.maximum(shares, _LEAST_LIKELY)).sum(axis=1)
    return total
