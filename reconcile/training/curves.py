"""Draw the training curves of curves.html."""

from __future__ import annotations

from typing import TYPE_CHECKING

import altair as alt

from reconcile.reporting.svg import BAR, as_svg

if TYPE_CHECKING:
    import pandas as pd


_LINES = ("#d98032", "#3f9b6c")


def curves_chart(epochs: pd.DataFrame) -> str:
    """Draw the accuracy on held-out photos and the losses over all epochs of all stages.

    Args:
        epochs: one row per epoch, with the columns of metrics.csv.

    Returns:
        an SVG element.
    """
    table = epochs.assign(total=range(1, len(epochs) + 1))
    x = alt.X("total:Q", title="epoch, all stages", axis=alt.Axis(tickMinStep=1, format="d"))
    panels = []
    for title, unit, lines in (
        (
            "held-out photos counted correctly",
            "%",
            {"accuracy_current": "current weights", "accuracy_averaged": "averaged weights"},
        ),
        (
            "nats",
            ".2f",
            {
                "training_loss": "training: cross-entropy with soft targets",
                "loss_current": "held out: −ln P, current weights",
                "loss_averaged": "held out: −ln P, averaged weights",
            },
        ),
    ):
        tidy = table.melt("total", list(lines), "line", "value")
        tidy["line"] = tidy["line"].map(lines)
        base = alt.Chart(tidy).encode(
            x=x,
            y=alt.Y("value:Q", title=title, axis=alt.Axis(format=unit), scale=alt.Scale(zero=False)),
            color=alt.Color(
                "line:N",
                sort=list(lines.values()),
                scale=alt.Scale(range=[BAR, *_LINES]),
                legend=alt.Legend(title=None, orient="bottom", direction="vertical", labelLimit=400),
            ),
        )
        panels.append((base.mark_line() + base.mark_point(filled=True, size=25)).properties(width=520, height=200))
    chart = alt.vconcat(*panels).resolve_scale(color="independent").properties(background="transparent")
    return as_svg(chart)
