"""The count labels of a model, such as `0,1,2,3,4,5,6+`: what they mean and which one a count falls under."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


@dataclass(frozen=True)
class CountLabels:
    """Ordered labels, each a count; the last may be open-ended (`6+` is six or more).

    Raises:
        ValueError: a label is not a count, the labels are not in rising order, or an open one is not the last.
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in self.names:
            if not name.removesuffix("+").isdigit():
                raise ValueError(f"{name!r} is not a count label such as 3 or 6+")
        if any(name.endswith("+") for name in self.names[:-1]):
            raise ValueError("only the last count label may be open-ended")
        if len(self.names) < 2 or list(self.values) != sorted(set(self.values)):
            raise ValueError(f"count labels must be at least two and rise: {','.join(self.names)}")

    @cached_property
    def values(self) -> tuple[int, ...]:
        """The count each label stands for; for an open-ended one, the smallest."""
        return tuple(int(name.removesuffix("+")) for name in self.names)

    @property
    def open_ended(self) -> bool:
        """Whether the last label also stands for every larger count."""
        return self.names[-1].endswith("+")

    def index_of(self, count: int) -> int | None:
        """The place of the label that `count` falls under; None where the labels do not reach that far."""
        if count in self.values:
            return self.values.index(count)
        if self.open_ended and count > self.values[-1]:
            return len(self.names) - 1
        return None

    def indices_of(self, counts: Iterable[int]) -> NDArray[np.int64]:
        """Return the index of the label of each count, int64 [N]; −1 if no label covers the count."""
        indices = (self.index_of(count) for count in counts)
        return np.array([-1 if index is None else index for index in indices], dtype=np.int64)
