"""Limit what connections may hold before their requests reach the application.

uvicorn does not limit the number of connections without a request, the size of headers, the time for them, or the time
that a client takes to receive an answer. It also queues requests that a client sends before it has the answer to an
earlier one.
"""

from __future__ import annotations

import json
import resource
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio


MAX_HEADER_BYTES = 64 * 1024
"""The size of a request's line and headers, and of the trailers and chunk extensions between two pieces of a body."""
HEADER_SECONDS = 10.0
"""The seconds in which a client must send the headers of a request."""
_MAX_CONNECTIONS = 512
_STALLED_SECONDS = 5.0
"""The seconds without a byte of a body after which a new connection above the limit may replace this one."""
RECEIVE_SECONDS = 60.0
"""The seconds in which a client must receive what was sent to it. Until then the server holds the whole request."""
_RECEIVE_SECONDS_PER_ANSWER = 600.0
"""The seconds that the server waits for the client during one answer, in total."""
_MAX_QUEUED_REQUESTS = 16
"""The requests that a client may send before it has the answer to an earlier one. SageMaker sends none."""
_MAX_QUEUED_BODY_BYTES = 1024 * 1024
"""The bytes of such a request's body. Nobody reads the body yet, so it is in memory."""


def connection_limit() -> int:
    """Return the number of simultaneous connections. Half of the process's open files stay free for other uses."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else max(1, min(_MAX_CONNECTIONS, soft // 2))


class LimitedProtocol(HttpToolsProtocol):
    """One HTTP connection with limits for headers, slow receivers, queued requests and the number of connections.

    A new connection above the limit replaces the connection that has waited for headers for the longest time.
    If no connection waits for headers, it replaces the one whose body has stalled for the longest time.
    If no body has stalled either, the new connection gets status 503.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unparsed = self._header_bytes = 0
        self._headers_are_incomplete = False
        self._timer: asyncio.TimerHandle | None = None
        self._receive_timer: asyncio.TimerHandle | None = None
        self._receive_started = self._receive_seconds = self._last_received = 0.0

    # A ValueError in one of the methods `on_…` stops the parser, which calls `send_400_response`.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time limit of the first request."""
        super().connection_made(transport)
        # Every byte that the client has not received counts. Otherwise a closed connection could keep some for ever.
        # The limit is not 0, because a TLS connection would then pause after each answer and never resume.
        transport.set_write_buffer_limits(high=1, low=0)
        self._start_timer()
        if len(self.connections) <= connection_limit():
            return
        others = [other for other in self.connections if isinstance(other, LimitedProtocol) and other is not self]
        waiting = [(other._timer.when(), id(other), other) for other in others if other._timer is not None]
        if not waiting:
            waiting = [(other._last_received, id(other), other) for other in others if other._body_has_stalled]
        if waiting:
            min(waiting)[2].transport.abort()
        else:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "the server has too many connections; try again later")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the time limits."""
        self._stop_timer()
        self._stop_receive_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse bytes, and close the connection if they are neither complete headers nor a body for too long."""
        self._unparsed += len(data)
        self._last_received = self.loop.time()
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._unparsed > MAX_HEADER_BYTES:
            self._refuse_headers()
        elif self._awaits_headers and self._timer is None:
            self._start_timer()

    def on_message_begin(self) -> None:
        """Start the headers of a request."""
        super().on_message_begin()
        self._headers_are_incomplete, self._header_bytes = True, 0

    def on_url(self, url: bytes) -> None:
        """Take a part of the request's line."""
        self._count_header_bytes(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header, or one trailer after the body."""
        self._count_header_bytes(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Hand the request to the application."""
        self._headers_are_incomplete, self._unparsed = False, 0
        self._stop_timer()
        self._receive_seconds = 0.0
        super().on_headers_complete()
        if len(self.pipeline) > _MAX_QUEUED_REQUESTS:
            raise ValueError("too many queued requests")

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._unparsed = 0
        super().on_body(body)
        if self.pipeline and len(self.cycle.body) > _MAX_QUEUED_BODY_BYTES:
            raise ValueError("too many bytes of a queued request")

    def pause_writing(self) -> None:
        """Start the time limit for a client that has not received everything."""
        super().pause_writing()
        self._receive_started = self.loop.time()
        seconds = min(RECEIVE_SECONDS, _RECEIVE_SECONDS_PER_ANSWER - self._receive_seconds)
        self._receive_timer = self.loop.call_later(seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop the time limit, because the client has received everything."""
        self._stop_receive_timer()
        self._receive_seconds += self.loop.time() - self._receive_started
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer a request that the parser refuses, in JSON as all other errors."""
        if self._header_bytes > MAX_HEADER_BYTES:
            self._refuse_headers()
        else:
            self._refuse(HTTPStatus.BAD_REQUEST, "the request is not valid HTTP")

    @property
    def _awaits_headers(self) -> bool:
        return self._headers_are_incomplete or self._is_idle

    @property
    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    @property
    def _body_has_stalled(self) -> bool:
        """Return whether the client, and not the server, has delayed a body for too long."""
        if self._is_idle or not self.cycle.more_body or self.cycle.waiting_for_100_continue or self.flow.read_paused:
            return False
        return self._last_received < self.loop.time() - _STALLED_SECONDS

    def _count_header_bytes(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            raise ValueError("too many headers")

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(HEADER_SECONDS, self._end_of_time)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_of_time(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if not self._is_idle:  # a client may begin the next request before the answer to this one is complete
            self._start_timer()
        elif self._unparsed:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"the headers took over {HEADER_SECONDS:.0f} seconds")
        else:
            self.transport.close()

    def _stop_receive_timer(self) -> None:
        if self._receive_timer is not None:
            self._receive_timer.cancel()
            self._receive_timer = None

    def _refuse_headers(self) -> None:
        limit = f"{MAX_HEADER_BYTES // 1024} kB"
        self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"the headers are over the limit of {limit}")

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        """Answer with an error, and close the connection."""
        if self._is_idle:  # otherwise the answer would end up inside another one
            body = json.dumps({"error": message}).encode()
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
            head += f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            self.transport.write(head.encode() + body)
        self.transport.close()
