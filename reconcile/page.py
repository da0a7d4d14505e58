"""HTML pages from reports/: one file each, with its style inside, that needs no network and no script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reconcile.resources import resource

if TYPE_CHECKING:
    from collections.abc import Callable


def render_page(template: str, **values: Any) -> str:
    """Fill in a template of reports/; it also finds the style sheet, as `css`."""
    environment = Environment(
        loader=FileSystemLoader(resource("reports")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    css = Markup(resource("reports", "report.css").read_text(encoding="utf-8"))  # noqa: S704 – our own file
    return environment.get_template(template).render(css=css, **values)


def in_both_themes(chart: Callable[[str], str]) -> dict[str, Markup]:
    """One SVG a theme, light and dark; the style sheet shows the one that fits.

    Args:
        chart: gives the SVG for a theme; nothing that strangers wrote may get into it.
    """
    return {theme: Markup(chart(theme)) for theme in ("light", "dark")}  # noqa: S704 – our own drawing
