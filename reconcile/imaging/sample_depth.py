"""Scale samples of more than 8 bits to 8 bits, by the range that they really use.

A file of 16 bits may hold the 10, 12 or 14 bits of a sensor. Taken as 16 bits, such a picture would be nearly black.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from reconcile.imaging.limits import UnreadableImage

if TYPE_CHECKING:
    from numpy.typing import NDArray


_DEPTHS = (8, 10, 12, 14, 16)
"""The depths of common sensors and files in bits."""
_LEAST_FLOAT = 32
"""Floats above 1 are taken for levels of 8 bits only if they reach this value. A range between is ambiguous."""


class SampleRange(NamedTuple):
    """The conversion of samples to 8 bits."""

    scale: float
    """The factor from a sample to 0 to 255."""
    is_inverted: bool = False
    """True if 0 is white."""
    note: str | None = None

    def as_bytes(self, samples: NDArray[np.generic]) -> NDArray[np.uint8]:
        """Return samples as uint8 of the same shape."""
        levels: NDArray[np.uint8] = np.clip(np.asarray(samples, dtype=np.float32) * self.scale, 0, 255).astype(np.uint8)
        return 255 - levels if self.is_inverted else levels


def integer_range(low: float, high: float, *, is_inverted: bool = False) -> SampleRange:
    """Return how whole numbers become 8 bits: by the smallest common depth that holds all of them.

    Args:
        low: the smallest sample of the picture.
        high: the largest sample of the picture.
        is_inverted: whether 0 is white.

    Raises:
        UnreadableImage: samples are negative, or have more than 16 bits.
    """
    if low < 0 or high >= 2**16:
        raise UnreadableImage(
            f"the samples range from {low:,.0f} to {high:,.0f}, which are not 16 bits; save the photo with 8 bits"
        )
    bits = next(bits for bits in _DEPTHS if high < 2**bits)
    note = None if bits == _DEPTHS[-1] else f"the file has 16 bits, but its samples use only {bits}; they were scaled"
    return SampleRange(255 / (2**bits - 1), is_inverted, note)


def float_range(low: float, high: float, *, is_inverted: bool = False) -> SampleRange:
    """Return how floats become 8 bits: 0 to 1, or the levels of 8 to 16 bits.

    Args:
        low: the smallest sample of the picture; NaN if any sample is NaN.
        high: the largest sample of the picture; NaN if any sample is NaN.
        is_inverted: whether 0 is white.

    Raises:
        UnreadableImage: the range fits neither.
    """
    if not low >= 0 or not (high <= 1 or _LEAST_FLOAT <= high < 2**16):
        raise UnreadableImage(
            f"the samples are floats from {low:g} to {high:g}, and their range is not known; save the photo with 8 bits"
        )
    if high <= 1:
        return SampleRange(255.0, is_inverted)
    return SampleRange(1.0, is_inverted) if high < 2**8 else integer_range(low, high, is_inverted=is_inverted)
