"""The result of one evaluation run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reconcile.evaluation.planted.results import PlantedEvaluation
    from reconcile.metrics.classification import Evaluation


@dataclass(frozen=True)
class EvaluationRun:
    """The evaluated model and photos, and all figures. The fields are those of evaluation.json."""

    reconcile_version: str
    model_file: str
    model_id: str
    provider: str
    data: str
    fold: int | None
    """The fold that was counted; None for all photos."""
    data_fingerprint: str
    """The fingerprint of all photos with a label, unreadable ones included; see `labelled.fingerprint`."""
    unreadable: int
    """The number of unreadable photos."""
    left_out: tuple[str, ...]
    """One line for each photo that is unreadable or has no usable label."""
    evaluation: Evaluation
    planted: PlantedEvaluation | None
    """The benchmark of the recount queue; None if it was not requested."""

    def as_dict(self) -> dict[str, Any]:
        """Return all fields for evaluation.json."""
        return asdict(self)
