"""Altair charts as SVG, for a light and a dark page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import vl_convert
from markupsafe import Markup

if TYPE_CHECKING:
    import altair as alt


def themed(svg: str) -> dict[str, Markup]:
    """One SVG a theme, light and dark; the style sheet shows the one that fits.

    Args:
        svg: a chart in the colours of a light page; nothing that strangers wrote may be in it.
    """
    return {"light": Markup(svg), "dark": Markup(as_dark(svg))}  # noqa: S704 – our own drawing


INK, FAINT, BAR, INTERVAL = "#1d232b", "#dfe3e8", "#2f6fb0", "#1c222a"
"""Colours of a light page."""
_IN_THE_DARK = {INK: "#e6e9ee", FAINT: "#38404b", BAR: "#5b9bdc", INTERVAL: "#f2f4f7"}


def as_dark(svg: str) -> str:
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
