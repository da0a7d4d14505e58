"""The HTTP interface that SageMaker asks of a container: /ping, /execution-parameters, /invocations."""

from __future__ import annotations

import asyncio
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

from reconcile.concurrency.cpu import available_cores
from reconcile.errors import ReconcileError
from reconcile.images import MAX_IMAGE_BYTES, UnreadableImage
from reconcile.serving.byte_budget import ByteBudget
from reconcile.serving.requests import InvalidRequestLine, parse_request_lines
from reconcile.serving.responses import JSON, JSON_LINES, LINES_TYPES, OFFERED, choose_format, render_image, render_rows
from reconcile.streaming.count_rows import counted_row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import IO

    from reconcile.logs import RunLog
    from reconcile.serving.batching import DynamicBatcher
    from reconcile.serving.key_fetching import KeyCounter


OCTETS = "application/octet-stream"
MAX_LINES_BYTES = 100 * 2**20
"""Of a request with keys: as much as batch transform sends at most."""
_IN_MEMORY = 2**20
"""Bytes of such a request; what is more waits on the disk."""
_IMAGES_AT_ONCE = 256
"""Whose bytes are taken in; other requests wait to be read."""
_IMAGE_BYTES = 512 * 2**20
"""Of all of them: as many as their Content-Length says, or as an image may have where there is none."""
_CHUNK_SECONDS, _BODY_SECONDS = 60, 600
"""How long the next bytes of a body, and all of it, are waited for: a client that stops sending keeps others out."""
# MaxPayloadInMB times MaxConcurrentTransforms may be 100 at most, and a request has 600 seconds unless the job says
# otherwise. A megabyte is some 11,000 keys, which take a core without VNNI 280 seconds (25 ms each); as many requests
# as cores therefore take no longer. For images that are larger, the job has to name a larger payload.
_PAYLOAD_MEGABYTES, _MOST_AT_ONCE = 1, 100


class CountingApp:
    """Answers requests, once there is a model to do so.

    Args:
        messages: told of what fails here, and not in a request.
        accept: what is answered to requests that take anything; None for JSON, or JSON Lines where keys were sent.
        chunk_seconds: how long the next bytes of a body are waited for.
        body_seconds: how long all of a body is waited for.
        image_bytes: how much of the bodies of images is held.
    """

    def __init__(
        self,
        messages: RunLog,
        accept: str | None,
        chunk_seconds: float = _CHUNK_SECONDS,
        body_seconds: float = _BODY_SECONDS,
        image_bytes: int = _IMAGE_BYTES,
    ) -> None:
        self._messages, self._accept = messages, accept
        self._chunk_seconds, self._body_seconds = chunk_seconds, body_seconds
        self._model: tuple[DynamicBatcher, KeyCounter] | None = None
        self._images_at_once, self._image_bytes = asyncio.Semaphore(_IMAGES_AT_ONCE), ByteBudget(image_bytes)
        self.asgi = Starlette(
            routes=[
                Route("/ping", self._ping),
                Route("/execution-parameters", self._execution_parameters),
                Route("/invocations", self._invocations, methods=["POST"]),
            ],
            exception_handlers={HTTPException: _refuse},
        )

    def set_model(self, shared: DynamicBatcher, keys: KeyCounter) -> None:
        """Take requests from now on."""
        self._model = shared, keys

    @property
    def stats_line(self) -> str:
        """What has been done so far, for a person."""
        if self._model is None:
            return "there was no model yet"
        images, batches = self._model[0].images, self._model[0].batches
        counted = "1 image was" if images == 1 else f"{images:,} images were"
        return f"{counted} counted in {batches:,} {'batch' if batches == 1 else 'batches'}"

    async def _ping(self, _: Request) -> Response:
        shared = self._ready()[0]
        counted = {"images": shared.images, "batches": shared.batches}
        return JSONResponse({"model_id": shared.counter.model_id, **counted})

    async def _execution_parameters(self, _: Request) -> Response:
        return JSONResponse(
            {
                "MaxConcurrentTransforms": min(available_cores(), _MOST_AT_ONCE),
                "BatchStrategy": "MULTI_RECORD",
                "MaxPayloadInMB": _PAYLOAD_MEGABYTES,
            }
        )

    async def _invocations(self, request: Request) -> Response:
        shared, keys = self._ready()
        sent, _ = parse_options_header(request.headers.get("content-type") or OCTETS)
        sent = sent.lower()
        is_image = sent == OCTETS or sent.startswith("image/")
        if not is_image and sent not in LINES_TYPES:
            expected = f"image/*, {OCTETS}, or {JSON_LINES} with keys"
            raise HTTPException(415, f"Content-Type {sent} cannot be counted; expected {expected}")
        default = self._accept or (JSON if is_image else JSON_LINES)
        media_type = choose_format(request.headers.get("accept"), default)
        if media_type is None:
            raise HTTPException(406, f"nothing in the Accept header can be given; there is {', '.join(OFFERED)}")
        try:
            if is_image:
                size = _length(request, MAX_IMAGE_BYTES)
                async with self._images_at_once, self._image_bytes.taken(MAX_IMAGE_BYTES if size is None else size):
                    return await self._count_image(request, shared, media_type)
            return await self._count_keys(request, keys, shared, media_type)
        except (UnreadableImage, InvalidRequestLine) as error:
            raise HTTPException(400, str(error)) from None
        except ClientDisconnect:
            return Response(status_code=400)  # for nobody
        except ReconcileError as error:  # S3 is down, or there are no credentials: to ask again may help
            raise HTTPException(503, self._tell(error)) from None
        except HTTPException:
            raise
        except Exception as error:
            raise HTTPException(500, self._tell(error)) from None

    def _ready(self) -> tuple[DynamicBatcher, KeyCounter]:
        if self._model is None:
            raise HTTPException(503, "the model is being loaded")
        return self._model

    async def _count_image(self, request: Request, shared: DynamicBatcher, media_type: str) -> Response:
        data = b"".join([chunk async for chunk in self._body(request, MAX_IMAGE_BYTES)])
        shares = await asyncio.wrap_future(shared.count(data))
        card = shared.counter.card
        row = counted_row(None, None, shares, card.labels, datetime.now(UTC)) | {"model_id": shared.counter.model_id}
        return Response(render_image(row, media_type, card.labels), media_type=media_type)

    async def _count_keys(
        self, request: Request, keys: KeyCounter, shared: DynamicBatcher, media_type: str
    ) -> Response:
        file = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 # it is read until the answer has ended
        try:
            async for chunk in self._body(request, MAX_LINES_BYTES):
                file.write(chunk)
            # All lines are looked at before one is counted: an answer that has begun cannot become a refusal.
            await run_in_threadpool(keys.open_buckets, parse_request_lines(file))
            pieces = iterate_in_threadpool(
                render_rows(keys.rows(parse_request_lines(file)), media_type, shared.counter.card.labels)
            )
            first = await anext(pieces)
        except BaseException:
            file.close()
            raise
        return StreamingResponse(self._stream(request, first, pieces, file), media_type=media_type)

    async def _stream(
        self, request: Request, first: bytes, pieces: AsyncIterator[bytes], file: IO[bytes]
    ) -> AsyncIterator[bytes]:
        """The rest of an answer. Where it fails, the connection breaks: nobody takes the part for the whole."""
        try:
            yield first
            async for piece in pieces:
                if await request.is_disconnected():
                    return
                yield piece
        except Exception as error:
            self._tell(error)
            raise
        finally:
            file.close()

    async def _body(self, request: Request, limit: int) -> AsyncIterator[bytes]:
        _length(request, limit)
        taken, chunks = 0, request.stream()
        now = asyncio.get_running_loop().time
        until = now() + self._body_seconds
        while True:
            try:
                async with asyncio.timeout_at(min(now() + self._chunk_seconds, until)):
                    chunk = await anext(chunks, None)
            except TimeoutError:
                said = f"the body did not come: {taken:,} bytes, and then no more in time"
                raise HTTPException(408, said, {"connection": "close"}) from None
            if chunk is None:
                return
            taken += len(chunk)
            if taken > limit:
                raise _too_large(limit)
            yield chunk

    def _tell(self, error: Exception) -> str:
        line = str(error) if isinstance(error, ReconcileError) else f"unexpected {type(error).__name__}: {error}"
        self._messages.error(line)
        return line


def _length(request: Request, limit: int) -> int | None:
    """Bytes of the body, where the request says it."""
    said = request.headers.get("content-length")
    if said is not None and int(said) > limit:
        raise _too_large(limit)
    return None if said is None else int(said)


def _too_large(limit: int) -> HTTPException:
    # uvicorn reads on and throws away what follows such an answer: many clients listen only when they have sent all.
    return HTTPException(413, f"the body is over the limit of {limit // 2**20} MB")


async def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)
