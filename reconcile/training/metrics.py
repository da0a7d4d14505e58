"""What each epoch came to: one row of metrics.csv, one point of the curves in curves.html."""

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
    """One epoch. `current` are the weights as they are, `averaged` their moving average."""

    stage: int
    """From 1."""
    size: int
    """Side of the input, in pixels."""
    epoch: int
    """Of the stage, from 1."""
    training_loss: float
    """Mean cross-entropy to the soft targets, in nats."""
    loss_current: float
    """Mean −ln P of the held-out photos' labels, in nats, after calibration."""
    loss_averaged: float
    accuracy_current: float
    """Share of the held-out photos that are counted right."""
    accuracy_averaged: float
    seconds: float
    """Time spent training, without validation."""

    def as_line(self, epochs: int) -> str:
        """For the log."""
        return (
            f"{self.size} px, epoch {self.epoch}/{epochs}: loss {self.training_loss:.3f}; held-out photos: "
            f"{self.accuracy_current:.1%} right, −ln P {self.loss_current:.3f} "
            f"(averaged weights {self.accuracy_averaged:.1%}, {self.loss_averaged:.3f}), {self.seconds:.0f} s"
        )


class Metrics:
    """The epochs of one training so far, and their files."""

    def __init__(self, out: Path, version: str) -> None:
        self._table, self._page, self._version = out / "metrics.csv", out / "curves.html", version
        self.rows: list[EpochMetrics] = []

    def add(self, metrics: EpochMetrics) -> None:
        """One more epoch."""
        self.rows.append(metrics)

    def state(self) -> list[dict[str, Any]]:
        """For a checkpoint."""
        return [asdict(row) for row in self.rows]

    def restore(self, state: list[dict[str, Any]]) -> None:
        """From a checkpoint."""
        self.rows = [EpochMetrics(**row) for row in state]

    def write(self) -> None:
        """Write both files anew."""
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
