"""Listen on an address."""

from __future__ import annotations

import socket
from ipaddress import ip_address

from reconcile.errors import ReconcileError


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address.

    Args:
        host: a name or an address of this machine.
        port: the port; 0 for any free port.

    Raises:
        ReconcileError: the address cannot be used.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        raise ReconcileError(f"cannot listen on {host}:{port}: {error}") from None


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
