"""The page of the app: one HTML file with its style and its script inside."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reconcile.recounting.address import qr_svg
from reconcile.resources import resource

if TYPE_CHECKING:
    from reconcile.recounting.shift import Rules


class Page:
    """The page, rendered once. It holds no bin and no record.

    Args:
        rules: what the lead decided.
        address: the address to open on a phone.
        advice: how to make the address reachable for phones; None if it is.
    """

    def __init__(self, rules: Rules, address: str, advice: str | None) -> None:
        folder = resource("reports", "recount")
        css = (folder / "page.css").read_text(encoding="utf-8")
        script = "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.js")))
        environment = Environment(
            loader=FileSystemLoader(folder),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=StrictUndefined,
        )
        self.html = environment.get_template("page.html.j2").render(
            css=Markup(css),  # noqa: S704 – our own file
            script=Markup(script),  # noqa: S704 – our own file
            qr=Markup(qr_svg(address)),  # noqa: S704 – segno escapes the title, and the address is only drawn
            advice=advice,
            reasons=rules.reasons,
            is_open=rules.is_open,
        )
        self.policy = (
            f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(css)}; img-src 'self' blob:; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        """The Content-Security-Policy. Nothing else can run or be fetched, even if a record contains hostile text."""


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
