"""Charts as SVG: drawn by Altair and rendered by vl-convert, without network or browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import altair as alt
import vl_convert

if TYPE_CHECKING:
    import pandas as pd

_THEMES = {
    "light": {"ink": "#1d232b", "faint": "#dfe3e8", "bar": "#2f6fb0", "interval": "#1d232b"},
    "dark": {"ink": "#e6e9ee", "faint": "#38404b", "bar": "#5b9bdc", "interval": "#f2f4f7"},
}


def accuracy_chart(accuracy: pd.DataFrame, theme: str) -> str:
    """Accuracy per count class as bars with their 95 % intervals.

    Args:
        accuracy: what `sql/accuracy_by_count.sql` gives.
        theme: light or dark.

    Returns:
        an SVG element.
    """
    colours = _THEMES[theme]
    order = accuracy["count_class"].tolist()
    base = alt.Chart(accuracy).encode(
        x=alt.X("count_class:N", sort=order, title="items on record", axis=alt.Axis(labelAngle=0))
    )
    bars = base.mark_bar(color=colours["bar"], cornerRadiusTopLeft=3, cornerRadiusTopRight=3).encode(
        y=alt.Y(
            "accuracy:Q",
            title="counted the same",
            axis=alt.Axis(format="%", tickCount=5),
            scale=alt.Scale(domain=[0, 1]),
        )
    )
    intervals = base.mark_rule(color=colours["interval"], strokeWidth=2).encode(
        y="accuracy_low:Q", y2="accuracy_high:Q"
    )
    chart = (
        alt.layer(bars, intervals)
        .properties(width=520, height=240, background="transparent")
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=colours["ink"],
            titleColor=colours["ink"],
            gridColor=colours["faint"],
            domainColor=colours["faint"],
            tickColor=colours["faint"],
            labelFontSize=12,
            titleFontSize=12,
            titleFontWeight="normal",
        )
    )
    return str(vl_convert.vegalite_to_svg(chart.to_json()))
