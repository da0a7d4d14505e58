"""Charts for the report of a run and the report of an evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import altair as alt
import pandas as pd

from reconcile.reporting.svg import BAR, INK, INTERVAL, as_svg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconcile.metrics.calibration import CoveragePoint, ReliabilityBin
    from reconcile.output.history import RunFigures


_UNIT = alt.Scale(domain=[0, 1])
_AGREEMENT = "photo agrees with record"


def reliability_chart(bins: Sequence[ReliabilityBin]) -> str:
    """Draw how often counts are correct against the probability that the model gave them.

    Args:
        bins: one point each, larger for more photos. Empty bins are not drawn.

    Returns:
        an SVG element.
    """
    table = pd.DataFrame(
        [
            {
                "probability": bin_.probability,
                "accuracy": bin_.accuracy.value,
                "low": bin_.accuracy.low,
                "high": bin_.accuracy.high,
                "photos": bin_.photos,
            }
            for bin_ in bins
            if bin_.accuracy is not None
        ]
    )
    diagonal = alt.Chart(pd.DataFrame({"probability": [0, 1], "accuracy": [0, 1]})).mark_line(
        color=INK, strokeDash=[4, 4], strokeWidth=1, opacity=0.6
    )
    base = alt.Chart(table)
    intervals = base.mark_rule(color=BAR, strokeWidth=2, opacity=0.55).encode(y="low:Q", y2="high:Q")
    points = base.mark_circle(color=BAR, opacity=1).encode(
        y="accuracy:Q", size=alt.Size("photos:Q", legend=None, scale=alt.Scale(rangeMin=25, rangeMax=350))
    )
    chart = (
        alt.layer(diagonal.encode(y="accuracy:Q"), intervals, points)
        .encode(
            x=alt.X(
                "probability:Q",
                title="probability of the count",
                axis=alt.Axis(format="%", tickCount=5),
                scale=_UNIT,
            ),
            y=alt.Y(title=_AGREEMENT, axis=alt.Axis(format="%", tickCount=5), scale=_UNIT),
        )
        .properties(width=380, height=290, background="transparent")
    )
    return as_svg(chart)


def coverage_chart(points: Sequence[CoveragePoint]) -> str:
    """Draw the accuracy of the most certain counts, with a band of 95 % intervals.

    Args:
        points: in ascending order of their `share`.

    Returns:
        an SVG element.
    """
    table = pd.DataFrame(
        [
            {
                "share": point.share,
                "accuracy": point.accuracy.value,
                "low": point.accuracy.low,
                "high": point.accuracy.high,
            }
            for point in points
        ]
    )
    base = alt.Chart(table).encode(
        x=alt.X("share:Q", title="fraction of photos, the most certain first", axis=alt.Axis(format="%", tickCount=5))
    )
    axis = alt.Axis(format="%", tickCount=5)
    band = base.mark_area(color=BAR, opacity=0.22).encode(
        y=alt.Y("low:Q", title=_AGREEMENT, axis=axis, scale=_UNIT), y2="high:Q"
    )
    line = base.mark_line(color=BAR, strokeWidth=2.5).encode(y=alt.Y("accuracy:Q", scale=_UNIT))
    return as_svg(alt.layer(band, line).properties(width=420, height=240, background="transparent"))


def accuracy_chart(accuracy: pd.DataFrame) -> str:
    """Draw the accuracy per count class as bars with 95 % intervals.

    Args:
        accuracy: the result of sql/figures/accuracy_by_count.sql.

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
            title=_AGREEMENT,
            axis=alt.Axis(format="%", tickCount=5),
            scale=_UNIT,
        )
    )
    intervals = base.mark_rule(color=INTERVAL, strokeWidth=2).encode(y="accuracy_low:Q", y2="accuracy_high:Q")
    chart = alt.layer(bars, intervals).properties(width=520, height=240, background="transparent")
    return as_svg(chart)


def history_chart(runs: Sequence[RunFigures]) -> str:
    """Draw the runs over one bucket, with a small panel for each measure.

    Args:
        runs: two or more runs, the oldest first.

    Returns:
        an SVG element.
    """
    table = pd.DataFrame(
        [
            {
                "started": run.started_at,
                "agreement": run.agreement,
                "wrong": run.expected_wrong,
                "suspect": None if run.agreement is None else run.suspect,  # without agreement, nothing was compared
                "unreadable": run.unreadable,
                "speed": run.images_per_second,
            }
            for run in runs
        ]
    )
    measures = {
        "agreement": (_AGREEMENT, "%"),
        "wrong": ("records probably wrong", "d"),
        "suspect": ("bins worth a recount", "d"),
        "unreadable": ("unreadable photos", "d"),
        "speed": ("photos per second", "d"),
    }
    panels = []
    for name, (title, unit) in measures.items():
        values = table[table[name].notna()]
        if len(values):
            base = alt.Chart(values, title=title).encode(
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
