"""The HTTP interface: `/ping`, `/execution-parameters`, `/invocations`."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from werkzeug.http import parse_options_header

from reconcile.concurrency.byte_budget import ByteBudget
from reconcile.concurrency.cpu import available_cores
from reconcile.errors import ReconcileError
from reconcile.images import MAX_IMAGE_BYTES, UnreadableImage
from reconcile.serving.bucket_access import ForbiddenBucket
from reconcile.serving.requests import InvalidRequestLine, parse_request_lines
from reconcile.serving.responses import (
    JSON,
    JSON_LINES,
    LINES_TYPES,
    OFFERED,
    choose_format,
    render_image,
    render_rows,
    without_file_content,
)
from reconcile.streaming.count_rows import counted_row
from reconcile.text import plural

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send

    from reconcile.logs import RunLog
    from reconcile.serving.batching import DynamicBatcher
    from reconcile.serving.key_fetching import KeyCounter


OCTETS = "application/octet-stream"
_IMAGE_TYPES = (OCTETS, "application/x-image")
"""The media types of images beside image/*. SageMaker's own image algorithms accept application/x-image."""
_MAX_TYPE_LENGTH = 2000
"""The characters of a header with media types. A header of 54,000 took a second to parse, and all others waited."""
MAX_LINES_BYTES = 100 * 2**20
"""The largest body of a request with keys. Batch transform sends no more."""
_IN_MEMORY = 2**20
"""The bytes of such a body that stay in memory. A temporary file holds the other bytes."""
_LINES_BYTES = 400 * 2**20
"""The total size of such bodies. SageMaker sends at most 100 MB at a time. A body without a Content-Length counts as
the largest one."""
_MAX_IMAGE_REQUESTS = 256
"""The number of image requests whose bodies are read at the same time. Further requests wait."""
_IMAGE_BYTES = 512 * 2**20
"""The total size of the bodies of these requests. A body without a Content-Length counts as the largest image."""
_CHUNK_SECONDS, _BODY_SECONDS = 30, 600
"""The time limits for the next bytes of a body and for the whole body. A client that stops sending would otherwise
block others."""
_BODY_BYTES_PER_SECOND = 10_000
"""The lowest speed of a body after the first `_CHUNK_SECONDS`, on average. A client could otherwise send one byte at a
time."""
# SageMaker allows MaxPayloadInMB times MaxConcurrentTransforms up to 100, and 600 seconds for a request unless the job
# sets another time. A megabyte is about 11,000 keys, which a slow core counts within that time. So the server asks for
# one request per core. A job with images of more than 1 MB has to set a larger payload itself.
_PAYLOAD_MEGABYTES, _MAX_CONCURRENT = 1, 100


class CountingApp:
    """The application that answers requests, once a model is set.

    Args:
        log: gets the errors that are not the client's.
        accept: the media type for requests that accept anything; None for JSON, or JSON Lines if the request has keys.
        chunk_seconds: the time limit for the next bytes of a body.
        body_seconds: the time limit for a whole body.
        image_bytes: the total size of image bodies in memory, in bytes.
        lines_bytes: the total size of bodies with keys, in bytes. They are held until they are answered.
    """

    def __init__(
        self,
        log: RunLog,
        accept: str | None,
        chunk_seconds: float = _CHUNK_SECONDS,
        body_seconds: float = _BODY_SECONDS,
        image_bytes: int = _IMAGE_BYTES,
        lines_bytes: int = _LINES_BYTES,
    ) -> None:
        self._log, self._accept = log, accept
        self._chunk_seconds, self._body_seconds = chunk_seconds, body_seconds
        self._model: tuple[DynamicBatcher, KeyCounter] | None = None
        self._image_requests, self._image_bytes = asyncio.Semaphore(_MAX_IMAGE_REQUESTS), ByteBudget(image_bytes)
        self._lines_bytes = ByteBudget(lines_bytes)
        self.asgi = Starlette(
            routes=[
                Route("/ping", self._ping),
                Route("/execution-parameters", self._execution_parameters),
                Route("/invocations", self._invocations, methods=["POST"]),
            ],
            exception_handlers={HTTPException: _error_response},
        )

    def set_model(self, batcher: DynamicBatcher, key_counter: KeyCounter) -> None:
        """Accept requests from now on, and count with this model."""
        self._model = batcher, key_counter

    @property
    def stats_line(self) -> str:
        """The number of images and batches that were counted, as one line of text."""
        if self._model is None:
            return "the model was not loaded yet"
        batcher = self._model[0]
        return f"counted {plural(batcher.images, 'image')} in {plural(batcher.batches, 'batch', 'batches')}"

    async def _ping(self, _: Request) -> Response:
        batcher = self._ready()[0]
        counted = {"images": batcher.images, "batches": batcher.batches}
        return JSONResponse({"model_id": batcher.predictor.model_id, **counted})

    async def _execution_parameters(self, _: Request) -> Response:
        return JSONResponse(
            {
                "MaxConcurrentTransforms": min(available_cores(), _MAX_CONCURRENT),
                "BatchStrategy": "MULTI_RECORD",
                "MaxPayloadInMB": _PAYLOAD_MEGABYTES,
            }
        )

    async def _invocations(self, request: Request) -> Response:
        batcher, key_counter = self._ready()
        for name in ("Accept", "Content-Type"):
            if len(request.headers.get(name) or "") > _MAX_TYPE_LENGTH:
                raise HTTPException(431, f"the header {name} is longer than {_MAX_TYPE_LENGTH:,} characters")
        encoding = request.headers.get("content-encoding") or "identity"
        if encoding.strip().lower() != "identity":
            raise HTTPException(415, f"the body is compressed (Content-Encoding {encoding}); send it uncompressed")
        content_type, _ = parse_options_header(request.headers.get("content-type") or OCTETS)
        content_type = content_type.lower()
        is_image = content_type in _IMAGE_TYPES or content_type.startswith("image/")
        if not is_image and content_type not in LINES_TYPES:
            expected = f"image/*, {OCTETS}, or {JSON_LINES} with keys"
            raise HTTPException(415, f"unsupported Content-Type {content_type}; expected {expected}")
        default = self._accept or (JSON if is_image else JSON_LINES)
        media_type = choose_format(request.headers.get("accept"), default)
        if media_type is None:
            raise HTTPException(406, f"the Accept header names no supported format; expected {', '.join(OFFERED)}")
        try:
            if is_image:
                length = _content_length(request, MAX_IMAGE_BYTES)
                size = MAX_IMAGE_BYTES if length is None else length
                async with self._image_requests, self._image_bytes.acquired(size):
                    return await self._count_image(request, batcher, media_type)
            return await self._count_keys(request, key_counter, batcher, media_type)
        except ForbiddenBucket as error:
            raise HTTPException(403, str(error)) from None
        except (UnreadableImage, InvalidRequestLine) as error:
            raise HTTPException(400, without_file_content(str(error))) from None
        except ClientDisconnect:
            return Response(status_code=400)  # nobody receives it
        except ReconcileError as error:  # S3 is down or credentials are missing: a later request may succeed
            raise HTTPException(503, self._log_error(error)) from None
        except HTTPException:
            raise
        except Exception as error:
            raise HTTPException(500, self._log_error(error)) from None

    def _ready(self) -> tuple[DynamicBatcher, KeyCounter]:
        if self._model is None:
            raise HTTPException(503, "the model is still loading")
        return self._model

    async def _count_image(self, request: Request, batcher: DynamicBatcher, media_type: str) -> Response:
        data = b"".join([chunk async for chunk in self._body(request, MAX_IMAGE_BYTES)])
        image = await asyncio.wrap_future(batcher.count(data))
        labels, model_id = batcher.predictor.card.labels, batcher.predictor.model_id
        row = counted_row(None, None, image.probabilities, labels, datetime.now(UTC), image.facts)
        row |= {"model_id": model_id}
        return Response(render_image(row, media_type, labels), media_type=media_type)

    async def _count_keys(
        self, request: Request, key_counter: KeyCounter, batcher: DynamicBatcher, media_type: str
    ) -> Response:
        length = _content_length(request, MAX_LINES_BYTES)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._lines_bytes.acquired(MAX_LINES_BYTES if length is None else length))
            file = stack.enter_context(SpooledTemporaryFile(_IN_MEMORY))  # noqa: SIM115 # it is a context manager
            async for chunk in self._body(request, MAX_LINES_BYTES):
                file.write(chunk)
            # Every line is checked before the first is counted: a response that has begun cannot become an error.
            await run_in_threadpool(key_counter.open_buckets, parse_request_lines(file))
            pieces = iterate_in_threadpool(
                render_rows(key_counter.rows(parse_request_lines(file)), media_type, batcher.predictor.card.labels)
            )
            first = await anext(pieces)
            return _HoldingResponse(stack.pop_all(), self._stream(request, first, pieces), media_type)

    async def _stream(self, request: Request, first: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield a response piece by piece.

        After an error the connection is closed, because the client must not mistake a part for the whole response.
        """
        try:
            yield first
            async for piece in pieces:
                if await request.is_disconnected():
                    return
                yield piece
        except Exception as error:
            self._log_error(error)
            raise

    async def _body(self, request: Request, limit: int) -> AsyncIterator[bytes]:
        """Yield the chunks of a body, within `limit` bytes and the time limits."""
        _content_length(request, limit)
        received, chunks = 0, request.stream()
        now = asyncio.get_running_loop().time
        started = now()
        while True:
            slowest = started + self._chunk_seconds + received / _BODY_BYTES_PER_SECOND
            deadline = min(now() + self._chunk_seconds, slowest, started + self._body_seconds)
            try:
                async with asyncio.timeout_at(deadline):
                    chunk = await anext(chunks, None)
            except TimeoutError:
                message = f"the request timed out: its body stopped or was too slow after {received:,} bytes"
                raise HTTPException(408, message, {"connection": "close"}) from None
            if chunk is None:
                return
            received += len(chunk)
            if received > limit:
                raise _too_large(limit)
            yield chunk

    def _log_error(self, error: Exception) -> str:
        """Log an error that is not the client's, and return the line."""
        line = str(error) if isinstance(error, ReconcileError) else f"unexpected {type(error).__name__}: {error}"
        self._log.error(line)
        return line


class _HoldingResponse(StreamingResponse):
    """A response that needs the body of its request until its end. Then it releases the body.

    Args:
        held: what to release, even if the client leaves before the first piece.
        pieces: the pieces of the response.
        media_type: the media type of the response.
    """

    def __init__(self, held: AsyncExitStack, pieces: AsyncIterator[bytes], media_type: str) -> None:
        super().__init__(pieces, media_type=media_type)
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._held:
            await super().__call__(scope, receive, send)


def _content_length(request: Request, limit: int) -> int | None:
    """Return the size of the body in bytes, or None if the request does not state it.

    Raises:
        HTTPException: the size exceeds `limit`.
    """
    length = request.headers.get("content-length")
    if length is not None and int(length) > limit:
        raise _too_large(limit)
    return None if length is None else int(length)


def _too_large(limit: int) -> HTTPException:
    # uvicorn reads and discards the other bytes of the body, because many clients read a response only after they have
    # sent it.
    return HTTPException(413, f"the body is over the limit of {limit // 2**20} MB")


async def _error_response(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)
