"""An HTTP proxy between a client and an S3 server, which injects faults of networks and of S3.

A `Rule` selects requests by a pattern and has a fault: a function that gets the `Exchange`. The proxy applies the first
matching rule that is not used up. It forwards all other requests with the Host header that the client signed, because
the signature covers that header.
"""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

Answer = tuple[int, list[tuple[str, str]], bytes]
"""Status, headers and body of an answer."""


@dataclass
class Exchange:
    """One request, with methods to answer it."""

    handler: BaseHTTPRequestHandler
    proxy: FaultyProxy
    body: bytes

    def fetch_upstream(self) -> Answer:
        """Forward the request to the server, and return its answer."""
        if not isinstance(self.proxy.server, str):
            return self.proxy.server(self)
        connection = HTTPConnection(urlsplit(self.proxy.server).netloc, timeout=60)
        try:
            connection.putrequest(self.handler.command, self.handler.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.handler.headers.items():
                if name.lower() not in ("connection", "expect"):
                    connection.putheader(name, value)
            connection.endheaders(self.body or None)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def send_headers(self, status: int, headers: list[tuple[str, str]], length: int) -> None:
        """Send the status and headers, and announce a body of `length` bytes."""
        self.handler.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.handler.send_header(name, value)
        self.handler.send_header("Content-Length", str(length))
        self.handler.end_headers()
        self.handler.wfile.flush()

    def send(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Send a whole answer."""
        self.send_headers(status, headers, len(body))
        if self.handler.command != "HEAD":
            self.handler.wfile.write(body)

    def close(self, *, reset: bool = False) -> None:
        """Close the connection, with a TCP reset if `reset` is set."""
        self.handler.wfile.flush()
        self.handler.close_connection = True
        if reset:
            self.handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.handler.connection.close()


Fault = Callable[[Exchange], None]
Server = str | Callable[[Exchange], Answer]
"""The URL of a server, or a function that answers in its place."""


def forward(exchange: Exchange) -> None:
    """Send the server's answer."""
    exchange.send(*exchange.fetch_upstream())


def s3_error(status: int, code: str) -> Fault:
    """Return a fault that answers with an S3 error and does not forward the request."""
    error = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>sent by the proxy</Message></Error>".encode()
    return lambda exchange: exchange.send(status, [("Content-Type", "application/xml")], error)


def reset_connection(exchange: Exchange) -> None:
    """Reset the connection without an answer."""
    exchange.close(reset=True)


def reset_after_request(exchange: Exchange) -> None:
    """Let the server process the request, and reset the connection before the answer."""
    exchange.fetch_upstream()
    exchange.close(reset=True)


def _send_half(exchange: Exchange) -> None:
    status, headers, body = exchange.fetch_upstream()
    exchange.send_headers(status, headers, len(body))
    exchange.handler.wfile.write(body[: len(body) // 2])


def reset_mid_body(exchange: Exchange) -> None:
    """Send half of the body, then reset the connection."""
    _send_half(exchange)
    exchange.close(reset=True)


def truncate_body(exchange: Exchange) -> None:
    """Send half of the announced body, then close the connection."""
    _send_half(exchange)
    exchange.close()


def stall_mid_body(exchange: Exchange) -> None:
    """Send the headers and half of the body, then nothing until the proxy stops."""
    _send_half(exchange)
    exchange.handler.wfile.flush()
    exchange.proxy.stopping.wait()
    exchange.close()


def send_slowly(exchange: Exchange) -> None:
    """Send a part of the body every tenth of a second, for two seconds."""
    status, headers, body = exchange.fetch_upstream()
    exchange.send_headers(status, headers, len(body))
    for part in range(20):
        exchange.handler.wfile.write(body[part * len(body) // 20 : (part + 1) * len(body) // 20])
        exchange.handler.wfile.flush()
        time.sleep(0.1)


def never_answer(exchange: Exchange) -> None:
    """Send nothing until the proxy stops."""
    exchange.proxy.stopping.wait()
    exchange.close()


@dataclass
class Rule:
    """A fault for requests such as `GET /bucket/bin-images/00001.jpg` (method, path, query)."""

    pattern: str
    """A regular expression that is searched for in the request."""
    fault: Fault
    times: float = float("inf")
    """The number of requests that still get the fault."""
    after: int = 0
    """The number of matching requests that the proxy still forwards before the first fault."""


@dataclass
class FaultyProxy:
    """A running proxy: its server, its rules and the requests so far."""

    server: Server
    rules: list[Rule] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    """Every request so far: method, path and query."""
    stopping: threading.Event = field(default_factory=threading.Event)
    url: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, pattern: str) -> int:
        """Return the number of requests so far that match."""
        return sum(re.search(pattern, request) is not None for request in self.requests)

    def next_fault(self, request: str) -> Fault:
        """Record a request, and return its fault."""
        with self._lock:
            self.requests.append(request)
            for rule in self.rules:
                if not re.search(rule.pattern, request):
                    continue
                if rule.after > 0:
                    rule.after -= 1
                elif rule.times > 0:
                    rule.times -= 1
                    return rule.fault
        return forward


@contextmanager
def faulty_proxy(server: Server, *rules: Rule) -> Iterator[FaultyProxy]:
    """Run a proxy in front of `server`. At the end, close the connections that still wait."""
    proxy = FaultyProxy(server, list(rules))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            fault = proxy.next_fault(f"{self.command} {unquote(self.path)}")
            try:
                fault(Exchange(self, proxy, body))
            except (OSError, HTTPException):  # the client or the server closed the connection
                self.close_connection = True

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

        def finish(self) -> None:
            with suppress(OSError, ValueError):  # the connection was reset
                super().finish()

    class Listener(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False
        request_queue_size = 128

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # the client closed the connection

    with Listener(("127.0.0.1", 0), Handler) as listener:
        threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True).start()
        proxy.url = f"http://127.0.0.1:{listener.server_port}"
        try:
            yield proxy
        finally:
            proxy.stopping.set()
            listener.shutdown()


TRANSIENT_FAULTS = {
    "internal error": s3_error(500, "InternalError"),
    "slow down": s3_error(503, "SlowDown"),
    "too many": s3_error(429, "TooManyRequests"),
    "reset": reset_connection,
    "reset in the middle": reset_mid_body,
    "half a body": truncate_body,
    "stalled": stall_mid_body,
    "silent": never_answer,
}
"""Faults after which a client retries, by name."""
