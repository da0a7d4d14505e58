"""The reliability chart of p_wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import altair as alt
import pandas as pd

from reconcile.reporting.svg import BAR, INK, as_svg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconcile.evaluation.planted.results import PlantedErrors


_SQRT_SCALE = alt.Scale(domain=[0, 1], type="sqrt")
"""A scale that separates small fractions. The line of equal fractions stays straight."""
_SECOND_COLOUR = "#d98032"


def planted_chart(errors: Sequence[PlantedErrors]) -> str:
    """Draw the fraction of wrong records against p_wrong, with one point per range, for each kind of errors.

    Args:
        errors: the results by kind of errors. Ranges without bins are not drawn.

    Returns:
        an SVG element.
    """
    names = {"slips": "slips", "uniform": "uniform errors"}
    table = pd.DataFrame(
        [
            {
                "errors": names[kind.name],
                "p_wrong": bin_.p_wrong,
                "wrong": bin_.wrong.value,
                "low": bin_.wrong.low,
                "high": bin_.wrong.high,
            }
            for kind in errors
            for bin_ in kind.ranges
            if bin_.wrong is not None
        ]
    )
    axis = alt.Axis(format="%", values=[0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1])
    diagonal = alt.Chart(pd.DataFrame({"p_wrong": [0, 1], "wrong": [0, 1]})).mark_line(
        color=INK, strokeDash=[4, 4], strokeWidth=1, opacity=0.6
    )
    kinds = {
        "color": alt.Color(
            "errors:N",
            sort=list(names.values()),
            scale=alt.Scale(domain=list(names.values()), range=[BAR, _SECOND_COLOUR]),
            legend=alt.Legend(title=None, orient="bottom", symbolOpacity=1),
        ),
        "shape": alt.Shape("errors:N", sort=list(names.values()), scale=alt.Scale(domain=list(names.values()))),
    }
    base = alt.Chart(table)
    intervals = base.mark_rule(strokeWidth=2, opacity=0.55).encode(y="low:Q", y2="high:Q", color=kinds["color"])
    points = base.mark_point(filled=True, size=90, opacity=1).encode(y="wrong:Q", **kinds)
    chart = (
        alt.layer(diagonal.encode(y="wrong:Q"), intervals, points)
        .encode(
            x=alt.X("p_wrong:Q", title="mean p_wrong of a range", axis=axis, scale=_SQRT_SCALE),
            y=alt.Y(title="fraction of wrong records", axis=axis, scale=_SQRT_SCALE),
        )
        .properties(width=420, height=320, background="transparent")
    )
    return as_svg(chart)
