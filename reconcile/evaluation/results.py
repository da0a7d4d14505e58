"""What one evaluation run produced."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reconcile.evaluation.planted.results import PlantedEvaluation
    from reconcile.metrics.classification import Evaluation


@dataclass(frozen=True)
class EvaluationRun:
    """What was evaluated, and what came of it."""

    reconcile_version: str
    model_file: str
    model_id: str
    provider: str
    data: str
    fold: int | None
    data_fingerprint: str
    """Of the photos that were to be counted, unreadable ones included."""
    unreadable: int
    left_out: tuple[str, ...]
    """One line for each photo without a usable label and each unreadable one."""
    evaluation: Evaluation
    planted: PlantedEvaluation | None
    """What came of altered records; None where nobody asked for them."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)
