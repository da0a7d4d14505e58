"""Render a self-contained HTML page with a strict content security policy."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reconcile.resources import resource


def render_page(template: str, *, more_css: str = "", script: str | None = None, **values: Any) -> str:
    """Render a template of reports/ as one HTML page.

    The template also gets `css`, `script` and `policy`. The policy is a Content-Security-Policy that names the style
    and the script by their digests. Nothing else can run or be fetched, even if a record contains hostile text.

    Args:
        template: the template's file name.
        more_css: style sheet that goes before ours.
        script: our JavaScript module. Without a module, no script runs.
        values: the values that the template shows.
    """
    css = more_css + resource("reports", "report.css").read_text(encoding="utf-8")
    inline = None if script is None else _inside_html(script)
    return (
        templates()
        .get_template(template)
        .render(
            css=Markup(css),  # noqa: S704 – our own file
            script=None if inline is None else Markup(inline),  # noqa: S704 – our own file
            policy=Markup(_policy(css, inline)),  # noqa: S704 – digests
            **values,
        )
    )


@cache
def templates() -> Environment:
    """Return the environment that holds the templates of reports/. It compiles each template once."""
    return Environment(
        loader=FileSystemLoader(resource("reports")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )


def _inside_html(script: str) -> str:
    """Escape what an HTML parser would read as the end of the script or as a comment."""
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _policy(css: str, script: str | None) -> str:
    scripts = "'none'" if script is None else _digest(script)
    # Style attributes only hold our own numbers, such as the height of a bar. `style-src` is for old browsers.
    styles = f"style-src 'unsafe-inline'; style-src-elem {_digest(css)}; style-src-attr 'unsafe-inline'"
    return f"default-src 'none'; script-src {scripts}; {styles}; img-src data:; base-uri 'none'; form-action 'none'"


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
