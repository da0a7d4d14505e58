"""HTML pages from reports/: one file each, with its style and script inside, that needs no network."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reconcile.resources import resource


def render_page(template: str, *, more_css: str = "", script: str | None = None, **values: Any) -> str:
    """Fill in a template of reports/; it also finds the style sheet as `css`, the script as `script`, and `policy`.

    The policy is a Content-Security-Policy that names this style and this script by their digests: nothing else on the
    page, whatever a record is called, can run or be fetched.

    Args:
        template: its name.
        more_css: goes before our own style sheet.
        script: a JavaScript module of ours; without one, no script runs at all.
        values: what the template shows.
    """
    environment = Environment(
        loader=FileSystemLoader(resource("reports")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    css = more_css + resource("reports", "report.css").read_text(encoding="utf-8")
    inline = None if script is None else _inside_html(script)
    return environment.get_template(template).render(
        css=Markup(css),  # noqa: S704 – our own file
        script=None if inline is None else Markup(inline),  # noqa: S704 – our own file
        policy=Markup(_policy(css, inline)),  # noqa: S704 – digests
        **values,
    )


def _inside_html(script: str) -> str:
    """The same JavaScript, without what an HTML parser takes for the end of the script or a comment."""
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _policy(css: str, script: str | None) -> str:
    scripts = "'none'" if script is None else _digest(script)
    # Style attributes hold our own numbers (the height of a bar). `style-src` is for browsers that know no better.
    styles = f"style-src 'unsafe-inline'; style-src-elem {_digest(css)}; style-src-attr 'unsafe-inline'"
    return f"default-src 'none'; script-src {scripts}; {styles}; img-src data:; base-uri 'none'; form-action 'none'"


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
