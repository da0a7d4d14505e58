"""Per-epoch metrics: metrics.csv and curves.html."""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import pandas as pd

from reconcile.reporting.html import render_page
from reconcile.reporting.svg import themed
from reconcile.training.curves import curves_chart

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class EpochMetrics:
    """The metrics of one epoch, for the current weights and for their moving average. The fields are metrics.csv's."""

    stage: int
    """The number of the stage, from 1."""
    size: int
    """The side of the input, in pixels."""
    epoch: int
    """The number of the epoch in the stage, from 1."""
    training_loss: float
    """The mean cross-entropy with the soft targets, in nats."""
    loss_current: float
    """The mean −ln P(true label) of the held-out photos after calibration, in nats, with the current weights."""
    loss_averaged: float
    """The same with the averaged weights."""
    accuracy_current: float
    """The fraction of held-out photos that are counted correctly, with the current weights."""
    accuracy_averaged: float
    """The same with the averaged weights."""
    seconds: float
    """The time spent on training, without validation."""

    def as_line(self, epochs: int) -> str:
        """Return the line for the log.

        Args:
            epochs: the number of epochs in the stage.
        """
        return (
            f"{self.size} px, epoch {self.epoch}/{epochs}: loss {self.training_loss:.3f}; held-out photos: "
            f"{self.accuracy_current:.1%} correct, −ln P {self.loss_current:.3f} "
            f"(averaged weights {self.accuracy_averaged:.1%}, {self.loss_averaged:.3f}), {self.seconds:.0f} s"
        )


class Metrics:
    """The metrics of a training so far, and their files.

    Args:
        out: the folder for metrics.csv and curves.html.
        version: the version of the model, for the title of curves.html.
    """

    def __init__(self, out: Path, version: str) -> None:
        self._table, self._page, self._version = out / "metrics.csv", out / "curves.html", version
        self.rows: list[EpochMetrics] = []

    def add(self, metrics: EpochMetrics) -> None:
        """Add the metrics of an epoch."""
        self.rows.append(metrics)

    def state(self) -> list[dict[str, Any]]:
        """Return all rows for a checkpoint."""
        return [asdict(row) for row in self.rows]

    def restore(self, state: list[dict[str, Any]]) -> None:
        """Replace all rows by those of a checkpoint."""
        self.rows = [EpochMetrics(**row) for row in state]

    def write(self) -> None:
        """Write both files."""
        with self._table.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([field.name for field in fields(EpochMetrics)])
            for row in self.rows:
                writer.writerow(
                    [f"{value:.4f}" if isinstance(value, float) else value for value in asdict(row).values()]
                )
        self._page.write_text(self._render(), encoding="utf-8")

    def _render(self) -> str:
        table = pd.DataFrame(self.state())
        return render_page(
            "curves.html.j2",
            version=self._version,
            rows=self.rows,
            best=min(
                (row for row in self.rows if row.stage == self.rows[-1].stage),
                key=lambda row: min(row.loss_current, row.loss_averaged),
            ),
            charts=themed(curves_chart(table)),
        )
