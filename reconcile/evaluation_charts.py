"""The charts of an evaluation, besides the accuracy by count that `charts` draws for a night too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import altair as alt
import pandas as pd

from reconcile.charts import BAR, INK, as_svg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconcile.planted_results import PlantedErrors
    from reconcile.reliability import CoveragePoint, ReliabilityBin

_SHARE = alt.Scale(domain=[0, 1])
_STRETCHED = alt.Scale(domain=[0, 1], type="sqrt")
"""Small shares apart from each other; the line of equal shares stays straight."""
_SECOND = "#d98032"


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


def planted_chart(errors: Sequence[PlantedErrors]) -> str:
    """How many records are wrong against p_wrong, for each kind of planted errors: a point a range.

    Args:
        errors: ranges without bins are not drawn.

    Returns:
        an SVG element.
    """
    names = {"slips": "slips", "uniform": "uniform errors"}
    table = pd.DataFrame(
        [
            {
                "errors": names[kind.name],
                "p_wrong": found.p_wrong,
                "wrong": found.wrong.value,
                "low": found.wrong.low,
                "high": found.wrong.high,
            }
            for kind in errors
            for found in kind.ranges
            if found.wrong is not None
        ]
    )
    axis = alt.Axis(format="%", values=[0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1])
    honest = alt.Chart(pd.DataFrame({"p_wrong": [0, 1], "wrong": [0, 1]})).mark_line(
        color=INK, strokeDash=[4, 4], strokeWidth=1, opacity=0.6
    )
    kinds = {
        "color": alt.Color(
            "errors:N",
            sort=list(names.values()),
            scale=alt.Scale(domain=list(names.values()), range=[BAR, _SECOND]),
            legend=alt.Legend(title=None, orient="bottom", symbolOpacity=1),
        ),
        "shape": alt.Shape("errors:N", sort=list(names.values()), scale=alt.Scale(domain=list(names.values()))),
    }
    base = alt.Chart(table)
    intervals = base.mark_rule(strokeWidth=2, opacity=0.55).encode(y="low:Q", y2="high:Q", color=kinds["color"])
    points = base.mark_point(filled=True, size=90, opacity=1).encode(y="wrong:Q", **kinds)
    chart = (
        alt.layer(honest.encode(y="wrong:Q"), intervals, points)
        .encode(
            x=alt.X("p_wrong:Q", title="p_wrong, mean of a range", axis=axis, scale=_STRETCHED),
            y=alt.Y(title="records that are wrong", axis=axis, scale=_STRETCHED),
        )
        .properties(width=420, height=320, background="transparent")
    )
    return as_svg(chart)
