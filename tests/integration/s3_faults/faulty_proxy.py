"""Stands between a client and an S3 server and does to requests what networks and S3 do to them.

A rule says which requests it is about and what becomes of each: a function that is given the `Exchange`. The first rule
that has some of its `times` left is taken; requests without a rule are passed on, with the Host header that the client
signed, so that signatures hold.
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
"""Status, headers and body."""


@dataclass
class Exchange:
    """One request, and the ways to answer it."""

    handler: BaseHTTPRequestHandler
    proxy: FaultyProxy
    body: bytes

    def upstream(self) -> Answer:
        """The server's own answer."""
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
        """Answer with these, and promise `length` bytes."""
        self.handler.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.handler.send_header(name, value)
        self.handler.send_header("Content-Length", str(length))
        self.handler.end_headers()
        self.handler.wfile.flush()

    def send(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Answer."""
        self.send_headers(status, headers, len(body))
        if self.handler.command != "HEAD":
            self.handler.wfile.write(body)

    def hang_up(self, *, reset: bool = False) -> None:
        """Close the connection, in order or by a reset."""
        self.handler.wfile.flush()
        self.handler.close_connection = True
        if reset:
            self.handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.handler.connection.close()


Fault = Callable[[Exchange], None]
Server = str | Callable[[Exchange], Answer]
"""The URL of a server, or a function that stands for one."""


def passed_on(exchange: Exchange) -> None:
    """What the server says."""
    exchange.send(*exchange.upstream())


def refused(status: int, code: str) -> Fault:
    """An error as S3 words it; the server hears nothing of the request."""
    error = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>said by the proxy</Message></Error>".encode()
    return lambda exchange: exchange.send(status, [("Content-Type", "application/xml")], error)


def reset(exchange: Exchange) -> None:
    """The connection is reset before anything is answered."""
    exchange.hang_up(reset=True)


def reset_when_done(exchange: Exchange) -> None:
    """The server does what was asked, and the connection is reset before it can say so."""
    exchange.upstream()
    exchange.hang_up(reset=True)


def _half(exchange: Exchange) -> None:
    status, headers, body = exchange.upstream()
    exchange.send_headers(status, headers, len(body))
    exchange.handler.wfile.write(body[: len(body) // 2])


def reset_in_the_middle(exchange: Exchange) -> None:
    """Half of the body, then a reset."""
    _half(exchange)
    exchange.hang_up(reset=True)


def half_a_body(exchange: Exchange) -> None:
    """Half of what Content-Length promises, then the end."""
    _half(exchange)
    exchange.hang_up()


def stalled(exchange: Exchange) -> None:
    """Headers and half of the body, and then nothing until the proxy ends."""
    _half(exchange)
    exchange.handler.wfile.flush()
    exchange.proxy.ended.wait()
    exchange.hang_up()


def slow(exchange: Exchange) -> None:
    """Some bytes every tenth of a second, for two seconds."""
    status, headers, body = exchange.upstream()
    exchange.send_headers(status, headers, len(body))
    for place in range(20):
        exchange.handler.wfile.write(body[place * len(body) // 20 : (place + 1) * len(body) // 20])
        exchange.handler.wfile.flush()
        time.sleep(0.1)


def silent(exchange: Exchange) -> None:
    """No answer at all until the proxy ends."""
    exchange.proxy.ended.wait()
    exchange.hang_up()


@dataclass
class Rule:
    """What becomes of requests such as `GET /bucket/bin-images/00001.jpg` (method, path, query)."""

    matching: str
    """A regular expression that is searched for."""
    fault: Fault
    times: float = float("inf")
    after: int = 0
    """How many such requests are let through first."""


@dataclass
class FaultyProxy:
    """The proxy of one test."""

    server: Server
    rules: list[Rule] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    """Every request so far: method, path and query."""
    ended: threading.Event = field(default_factory=threading.Event)
    url: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, matching: str) -> int:
        """How many requests so far were such."""
        return sum(re.search(matching, request) is not None for request in self.requests)

    def fault_for(self, request: str) -> Fault:
        """What is to become of it."""
        with self._lock:
            self.requests.append(request)
            for rule in self.rules:
                if not re.search(rule.matching, request):
                    continue
                if rule.after > 0:
                    rule.after -= 1
                elif rule.times > 0:
                    rule.times -= 1
                    return rule.fault
        return passed_on


@contextmanager
def faulty_proxy(server: Server, *rules: Rule) -> Iterator[FaultyProxy]:
    """A proxy in front of `server`; whoever still waits when it ends is let go."""
    proxy = FaultyProxy(server, list(rules))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            fault = proxy.fault_for(f"{self.command} {unquote(self.path)}")
            try:
                fault(Exchange(self, proxy, body))
            except (OSError, HTTPException):  # either side has gone
                self.close_connection = True

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

        def finish(self) -> None:
            with suppress(OSError, ValueError):  # it was reset
                super().finish()

    class Listener(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False
        request_queue_size = 128

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that went away

    with Listener(("127.0.0.1", 0), Handler) as listener:
        threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True).start()
        proxy.url = f"http://127.0.0.1:{listener.server_port}"
        try:
            yield proxy
        finally:
            proxy.ended.set()
            listener.shutdown()


PASSING = {
    "internal error": refused(500, "InternalError"),
    "slow down": refused(503, "SlowDown"),
    "too many": refused(429, "TooManyRequests"),
    "reset": reset,
    "reset in the middle": reset_in_the_middle,
    "half a body": half_a_body,
    "stalled": stalled,
    "silent": silent,
}
"""What is worth asking again."""
