"""The charts of an evaluation, besides the accuracy by count that `charts` draws for a night too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import altair as alt
import pandas as pd

from reconcile.reporting.svg import BAR, INK, INTERVAL, as_svg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconcile.metrics.calibration import CoveragePoint, ReliabilityBin
    from reconcile.output.history import RunFigures


_SHARE = alt.Scale(domain=[0, 1])


def reliability_chart(bins: Sequence[ReliabilityBin]) -> str:
    """How often the counts are right against how probable the model finds them: a point a bin, larger for more photos.

    Args:
        bins: empty ones are not drawn.

    Returns:
        an SVG element.
    """
    table = pd.DataFrame(
        [
            {
                "probability": found.probability,
                "accuracy": found.accuracy.value,
                "low": found.accuracy.low,
                "high": found.accuracy.high,
                "photos": found.photos,
            }
            for found in bins
            if found.accuracy is not None
        ]
    )
    honest = alt.Chart(pd.DataFrame({"probability": [0, 1], "accuracy": [0, 1]})).mark_line(
        color=INK, strokeDash=[4, 4], strokeWidth=1, opacity=0.6
    )
    base = alt.Chart(table)
    intervals = base.mark_rule(color=BAR, strokeWidth=2, opacity=0.55).encode(y="low:Q", y2="high:Q")
    points = base.mark_circle(color=BAR, opacity=1).encode(
        y="accuracy:Q", size=alt.Size("photos:Q", legend=None, scale=alt.Scale(rangeMin=25, rangeMax=350))
    )
    chart = (
        alt.layer(honest.encode(y="accuracy:Q"), intervals, points)
        .encode(
            x=alt.X(
                "probability:Q",
                title="probability that the model gives its count",
                axis=alt.Axis(format="%", tickCount=5),
                scale=_SHARE,
            ),
            y=alt.Y(title="counted the same", axis=alt.Axis(format="%", tickCount=5), scale=_SHARE),
        )
        .properties(width=380, height=290, background="transparent")
    )
    return as_svg(chart)


def coverage_chart(points: Sequence[CoveragePoint]) -> str:
    """Accuracy of the most certain photos, with the band of its 95 % intervals.

    Args:
        points: in rising order of their shares.

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
        x=alt.X("share:Q", title="share of photos kept, the most certain first", axis=alt.Axis(format="%", tickCount=5))
    )
    axis = alt.Axis(format="%", tickCount=5)
    band = base.mark_area(color=BAR, opacity=0.22).encode(
        y=alt.Y("low:Q", title="counted the same", axis=axis, scale=_SHARE), y2="high:Q"
    )
    line = base.mark_line(color=BAR, strokeWidth=2.5).encode(y=alt.Y("accuracy:Q", scale=_SHARE))
    return as_svg(alt.layer(band, line).properties(width=420, height=240, background="transparent"))


def accuracy_chart(accuracy: pd.DataFrame) -> str:
    """Accuracy per count class as bars with their 95 % intervals.

    Args:
        accuracy: what `sql/figures/accuracy_by_count.sql` gives.

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


def history_chart(nights: Sequence[RunFigures]) -> str:
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
