"""The reliability chart of p_wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import altair as alt
import pandas as pd

from reconcile.reporting.svg import BAR, INK, as_svg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconcile.evaluation.planted.results import PlantedErrors


_STRETCHED = alt.Scale(domain=[0, 1], type="sqrt")
"""Small shares apart from each other; the line of equal shares stays straight."""
_SECOND = "#d98032"


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
