"""From logits to probabilities that mean what they say: temperature, and undoing how the network was taught."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


_ROUNDS = 10
"""After ten the likelihood of held-out labels gains nothing more (models/EXPERIMENTS.md)."""
_LEAST = 1e-6


def calibrated(
    logits: NDArray[np.floating[Any]], temperature: float, taught: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """Probability of each count label.

    Args:
        logits: float [N, labels], the network's.
        temperature: T of softmax(logits / T) (Guo et al. 2017, On Calibration of Modern Neural Networks).
        taught: see `undo_teaching`; None where the network was taught its labels as they are.

    Returns:
        float32 [N, labels], rows summing to 1.
    """
    shares = softmax(logits / temperature)
    return shares if taught is None else deconvolve(shares, taught)


def softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Softmax over the last axis, float32."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True), dtype=np.float32)
    shares: NDArray[np.float32] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return shares


def deconvolve(shares: NDArray[np.float32], taught: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the network believes of the count, from what it was taught to say.

    For a photo of label c the training's target is not c alone but spread over its neighbours, `taught[c]`. A network
    that has learned this says Σ_c P(c|x) · taught[c]: even where a photo leaves no doubt, a tenth is given to each
    neighbour, and a record that is one item off looks not half as wrong as it is. P(c|x) is the mixture of rows of
    `taught` that comes nearest to what it says, found by expectation maximisation from there (Richardson 1972, JOSA
    62:55-59; Lucy 1974, AJ 79:745-754):

        w_c ← w_c · Σ_k taught[c, k] · says_k / (Σ_b w_b · taught[b, k])

    Args:
        shares: what the network says, float32 [N, labels], rows summing to 1.
        taught: float32 [labels, labels], the mean target of the training photos of each label; rows summing to 1.

    Returns:
        float32 [N, labels], rows summing to 1.
    """
    believed: NDArray[Any] = shares
    for _ in range(_ROUNDS):
        believed = believed * _times(shares / np.maximum(_times(believed, taught), _LEAST), taught.T)
    believed = np.maximum(believed, _LEAST)
    result: NDArray[np.float32] = believed / believed.sum(axis=1, keepdims=True)
    return result


def _times(shares: NDArray[Any], matrix: NDArray[Any]) -> NDArray[np.float32]:
    """The product of two matrices, in the same steps for every row.

    BLAS takes others where there is one row alone, so that a photo had other probabilities, in the last digit, where it
    was counted by itself than in a batch.
    """
    product: NDArray[np.float32] = (shares[:, :, None] * matrix).sum(axis=1)
    return product
