"""Count labels, such as `0,1,2,3,4,5,6+`."""

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
    """The ordered labels of a model. Each is a count; the last may be open-ended (`6+` is six or more).

    Raises:
        ValueError: a label is not a count, there are fewer than two labels, or the counts do not increase. Or a label
            other than the last is open-ended.
    """

    names: tuple[str, ...]
    """The labels as text, such as ("0", "1", "2+")."""

    def __post_init__(self) -> None:
        for name in self.names:
            if not name.removesuffix("+").isdigit():
                raise ValueError(f"{name!r} is not a count label such as 3 or 6+")
        if any(name.endswith("+") for name in self.names[:-1]):
            raise ValueError("only the last count label may be open-ended")
        if len(self.names) < 2 or list(self.values) != sorted(set(self.values)):
            raise ValueError(f"expected two or more count labels in increasing order, not {','.join(self.names)}")

    @cached_property
    def values(self) -> tuple[int, ...]:
        """The count of each label. An open-ended label has its smallest count here."""
        return tuple(int(name.removesuffix("+")) for name in self.names)

    @property
    def open_ended(self) -> bool:
        """True if the last label also covers every larger count."""
        return self.names[-1].endswith("+")

    def index_of(self, count: int) -> int | None:
        """Return the index of the label that covers a count; None if no label covers it."""
        if count in self.values:
            return self.values.index(count)
        if self.open_ended and count > self.values[-1]:
            return len(self.names) - 1
        return None

    def indices_of(self, counts: Iterable[int]) -> NDArray[np.int64]:
        """Return the index of the label of each count, int64 [N]; −1 if no label covers the count."""
        indices = (self.index_of(count) for count in counts)
        return np.array([-1 if index is None else index for index in indices], dtype=np.int64)
