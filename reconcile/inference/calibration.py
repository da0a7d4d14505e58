"""Turn logits into calibrated probabilities: temperature scaling, then removal of the soft targets' spread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


_ITERATIONS = 10
"""After ten iterations the likelihood of held-out labels does not rise further (models/EXPERIMENTS.md)."""
_MIN_PROBABILITY = 1e-6


def calibrated(
    logits: NDArray[np.floating[Any]], temperature: float, soft_targets: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """Return the calibrated probability of each count label.

    Args:
        logits: the output of the network, float [N, labels].
        temperature: t in softmax(logits / T) (Guo et al. 2017, On Calibration of Modern Neural Networks, section 4.2).
        soft_targets: the mean training target of each label; see `deconvolve`. None if the network was trained on hard
            labels.

    Returns:
        float32 [N, labels], rows summing to 1.
    """
    probabilities = softmax(logits / temperature)
    return probabilities if soft_targets is None else deconvolve(probabilities, soft_targets)


def softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return the softmax over the last axis.

    Args:
        logits: float [..., labels].

    Returns:
        float32 [..., labels], summing to 1 over the last axis.
    """
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True), dtype=np.float32)
    probabilities: NDArray[np.float32] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return probabilities


def deconvolve(output: NDArray[np.float32], soft_targets: NDArray[np.float32]) -> NDArray[np.float32]:
    """Remove the spread of the soft targets from the output of a network that was trained on them.

    In training, the target of a photo with label c is `soft_targets[c]`, which is spread over the neighbours of c. A
    network that has learned this returns Σ_c P(c|x) · soft_targets[c]. Even for a clear photo, it gives probability to
    the neighbouring counts. A record that is one item off then looks less wrong than it is. P(c|x) is the mixture of
    rows of `soft_targets` that is closest to the output. Expectation maximisation finds it, starting from the output
    (Richardson-Lucy deconvolution; Richardson 1972, JOSA 62:55-59; Lucy 1974, AJ 79:745-754):

        w_c ← w_c · Σ_k soft_targets[c, k] · output_k / (Σ_b w_b · soft_targets[b, k])

    Args:
        output: the probabilities that the network returns, float32 [N, labels], rows summing to 1.
        soft_targets: the mean target of the training photos of each label, float32 [labels, labels], rows summing to 1.

    Returns:
        P(c|x), float32 [N, labels], rows summing to 1.
    """
    weights: NDArray[Any] = output
    for _ in range(_ITERATIONS):
        ratio = output / np.maximum(_matmul(weights, soft_targets), _MIN_PROBABILITY)
        weights = weights * _matmul(ratio, soft_targets.T)
    weights = np.maximum(weights, _MIN_PROBABILITY)
    result: NDArray[np.float32] = weights / weights.sum(axis=1, keepdims=True)
    return result


def _matmul(rows: NDArray[Any], matrix: NDArray[Any]) -> NDArray[np.float32]:
    """Multiply two matrices with the same order of operations for every row.

    BLAS computes a single row in another order than a batch. Then a photo would get other probabilities, in the last
    digit, if it is counted alone.
    """
    product: NDArray[np.float32] = (rows[:, :, None] * matrix).sum(axis=1)
    return product
