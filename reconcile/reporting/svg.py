"""Altair charts as SVG, for a light and a dark page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import vl_convert
from markupsafe import Markup

if TYPE_CHECKING:
    import altair as alt


def themed(svg: str) -> dict[str, Markup]:
    """Return one SVG per theme, `light` and `dark`. The style sheet shows the one that fits.

    Args:
        svg: a chart in the colours of a light page. It must not contain text from records.
    """
    return {"light": Markup(svg), "dark": Markup(as_dark(svg))}  # noqa: S704 – our own drawing


INK, FAINT, BAR, INTERVAL = "#1d232b", "#dfe3e8", "#2f6fb0", "#1c222a"
"""The colours of a light page."""
_DARK = {INK: "#e6e9ee", FAINT: "#38404b", BAR: "#5b9bdc", INTERVAL: "#f2f4f7"}


def as_dark(svg: str) -> str:
    """Return a chart for a dark page by replacing colours, which is faster than rendering it twice."""
    for light, dark in _DARK.items():
        svg = svg.replace(light, dark)
    return svg


def as_svg(chart: alt.TopLevelMixin) -> str:
    """Render a chart as SVG for a light page.

    Only the data of our charts differ from run to run, so Altair does not check each chart against its schema again.
    """
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
    return str(vl_convert.vegalite_to_svg(chart.to_json(validate=False)))
