"""The addresses under which phones reach the server, and their QR codes."""

from __future__ import annotations

import io
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import quote

import segno

from reconcile.web.listening import is_loopback

if TYPE_CHECKING:
    from typing import TextIO


_OUTSIDE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
"""Addresses that are reserved for documentation (RFC 5737, RFC 3849)."""


def web_address(host: str, port: int, token: str, *, is_encrypted: bool) -> str:
    """Return the address to open on a phone.

    Args:
        host: the address that the server listens on. For all addresses, the one by which this machine reaches its
            network.
        port: the port.
        token: the token, which becomes part of the address.
        is_encrypted: whether the server uses TLS.
    """
    name = _reachable(host)
    name = f"[{name}]" if ":" in name else name
    return f"{'https' if is_encrypted else 'http'}://{name}:{port}/?token={quote(token, safe='')}"


def _reachable(host: str) -> str:
    try:
        if not ip_address(host).is_unspecified:
            return host
    except ValueError:  # a name
        return host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((_OUTSIDE[family], 9))  # no packet is sent: this only chooses the network card
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()


def advice_for(host: str, port: int) -> str | None:
    """Return how to open the server to phones, if only this machine can reach it."""
    if not is_loopback(host):
        return None
    return f"only this machine can open the app; for phones, start it with --host 0.0.0.0 --port {port}"


def qr_svg(address: str) -> str:
    """Return the QR code of an address as an SVG element."""
    buffer = io.BytesIO()
    segno.make(address, error="m", micro=False).save(
        buffer, kind="svg", scale=4, border=4, dark="#000", light="#fff", xmldecl=False, svgns=True, nl=False,
        title="QR code of this page", omitsize=True,
    )  # fmt: skip
    return buffer.getvalue().decode()


def print_qr(address: str, stream: TextIO) -> None:
    """Print the QR code of an address on a terminal."""
    segno.make(address, error="l", micro=False).terminal(out=stream, compact=True)
