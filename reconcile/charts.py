"""Charts as SVG: drawn by Altair and rendered by vl-convert, without network or browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import altair as alt
import vl_convert

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from reconcile.history import Night

INK, FAINT, BAR, INTERVAL = "#1d232b", "#dfe3e8", "#2f6fb0", "#1c222a"
"""Colours of a light page."""
_IN_THE_DARK = {INK: "#e6e9ee", FAINT: "#38404b", BAR: "#5b9bdc", INTERVAL: "#f2f4f7"}
_LINES = ("#d98032", "#3f9b6c")


def accuracy_chart(accuracy: pd.DataFrame) -> str:
    """Accuracy per count class as bars with their 95 % intervals.

    Args:
        accuracy: what `sql/accuracy_by_count.sql` gives.

    Returns:
        an SVG element.
    """
    order = accuracy["count_class"].tolist()
    base = alt.Chart(accuracy).encode(
        x=alt.X("count_class:N", sort=order, title="items on record", axis=alt.Axis(labelAngle=0))
    )
    bars = base.mark_bar(color=BAR, cornerRadiusTopLeft=3, cornerRadiusTopRight=3).encode(
        y=alt.Y(
            "accuracy:Q",
            title="counted the same",
            axis=alt.Axis(format="%", tickCount=5),
            scale=alt.Scale(domain=[0, 1]),
        )
    )
    intervals = base.mark_rule(color=INTERVAL, strokeWidth=2).encode(y="accuracy_low:Q", y2="accuracy_high:Q")
    chart = alt.layer(bars, intervals).properties(width=520, height=240, background="transparent")
    return as_svg(chart)


def curves_chart(epochs: pd.DataFrame) -> str:
    """How a training went: accuracy on held-out photos, and the losses, over all epochs of all stages.

    Args:
        epochs: one row an epoch, as in metrics.csv.

    Returns:
        an SVG element.
    """
    table = epochs.assign(total=range(1, len(epochs) + 1))
    x = alt.X("total:Q", title="epoch, all stages", axis=alt.Axis(tickMinStep=1, format="d"))
    panels = []
    for title, unit, lines in (
        (
            "held-out photos counted right",
            "%",
            {"accuracy_current": "weights as they are", "accuracy_averaged": "averaged weights"},
        ),
        (
            "nats",
            ".2f",
            {
                "training_loss": "training: cross-entropy to soft targets",
                "loss_current": "held out: −ln P, weights as they are",
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


def history_chart(nights: Sequence[Night]) -> str:
    """Runs over the same bucket, a small panel for each measure.

    Args:
        nights: two or more, the oldest first.

    Returns:
        an SVG element.
    """
    import pandas as pd

    table = pd.DataFrame(
        [
            {
                "started": night.started_at,
                "agreement": night.agreement,
                "wrong": night.expected_wrong,
                "discrepant": None if night.agreement is None else night.short + night.over,  # nothing was compared
                "unreadable": night.unreadable,
                "speed": night.images_per_second,
            }
            for night in nights
        ]
    )
    measures = {
        "agreement": ("counted as on record", "%"),
        "wrong": ("records expected wrong", "d"),
        "discrepant": ("short and over", "d"),
        "unreadable": ("unreadable images", "d"),
        "speed": ("images a second", "d"),
    }
    panels = []
    for name, (title, unit) in measures.items():
        known = table[table[name].notna()]
        if len(known):
            base = alt.Chart(known, title=title).encode(
                x=alt.X("started:T", title=None, axis=alt.Axis(tickCount=3, labelOverlap=True)),
                y=alt.Y(
                    f"{name}:Q",
                    title=None,
                    axis=alt.Axis(format=unit, tickCount=3, tickMinStep=0 if unit == "%" else 1),
                ),
            )
            marks = base.mark_line(color=BAR) + base.mark_point(color=BAR, filled=True, size=28)
            panels.append(marks.properties(width=190, height=90))
    chart = alt.concat(*panels, columns=3, bounds="flush", spacing={"row": 52, "column": 60}).properties(
        background="transparent"
    )
    return as_svg(chart.configure_title(color=INK, fontSize=12, fontWeight="normal", anchor="start"))


def in_the_dark(svg: str) -> str:
    """The same chart for a dark page: colours are all that differs, and rendering twice takes twice the time."""
    for light, dark in _IN_THE_DARK.items():
        svg = svg.replace(light, dark)
    return svg


def as_svg(chart: alt.TopLevelMixin) -> str:
    """Render a chart, for a light page."""
    ink = {"labelColor": INK, "titleColor": INK, "labelFontSize": 12, "titleFontSize": 12}
    chart = (
        chart.configure_view(stroke=None)
        .configure_axis(
            gridColor=FAINT,
            domainColor=FAINT,
            tickColor=FAINT,
            titleFontWeight="normal",
            **ink,
        )
        .configure_legend(**ink)
    )
    return str(vl_convert.vegalite_to_svg(chart.to_json()))
