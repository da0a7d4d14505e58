"""The HTTP interface: the page, and what its script asks for."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from reconcile.errors import ReconcileError, first_line
from reconcile.recounting.entries import ENTRY_ID_FORM, LONGEST_NAME, text_of
from reconcile.recounting.photos import NoPhoto, Photos
from reconcile.recounting.polling import Polling, Wish
from reconcile.recounting.shift import Person

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from reconcile.logs import RunLog
    from reconcile.recounting.page import Page
    from reconcile.recounting.queue import Card, RecountRun
    from reconcile.recounting.saving import Saving
    from reconcile.recounting.shift import Shift


_MAX_BODY_BYTES = 256 * 1024
"""The largest request. A phone that was offline for hours sends its taps in several requests."""
_BODY_SECONDS = 30
_MOST_ENTRIES = 200
_MOST_HELD = 10
_PHOTO_SECONDS = 120
"""The seconds that a phone may take to receive a photo."""


class RecountApp:
    """The application behind the token.

    Args:
        shift: the state that all phones share.
        saving: saves entries.
        page: the page.
        log: gets the errors that are not the phone's.
        stop: called when the server stops, after the last request.
    """

    def __init__(self, shift: Shift, saving: Saving, page: Page, log: RunLog, stop: Callable[[], None]) -> None:
        self._shift, self._saving, self._page, self._log = shift, saving, page, log
        self._polling, self._photos = Polling(shift), Photos()

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            yield
            await run_in_threadpool(stop)

        compressed = Middleware(GZipMiddleware, minimum_size=1000)
        self.asgi = Starlette(
            routes=[
                Route("/", self._show_page, middleware=[compressed]),
                Route("/api/queue", self._send_queue, middleware=[compressed]),
                Route("/api/poll", self._poll, methods=["POST"]),
                Route("/api/entries", self._save, methods=["POST"]),
                Route("/photos/{run_id}/{number:int}", self._send_photo),
            ],
            middleware=[Middleware(SafeHeaders, policy=page.policy)],
            exception_handlers={HTTPException: _error_response, Exception: self._unexpected},
            lifespan=lifespan,
        )

    async def _show_page(self, _: Request) -> Response:
        return HTMLResponse(self._page.html)

    async def _send_queue(self, _: Request) -> Response:
        run = self._shift.newest_run()
        return JSONResponse(None if run is None else queue_json(run, is_open=self._shift.rules.is_open))

    async def _send_photo(self, request: Request) -> Response:
        run = self._shift.known_run(request.path_params["run_id"])
        card = None if run is None else run.cards.get(request.path_params["number"])
        if run is None or card is None:
            raise HTTPException(404, "there is no such card")
        try:
            photo = await self._photos.get(run, card)
        except NoPhoto as error:
            raise HTTPException(404, str(error)) from None
        headers = {"cache-control": "private, max-age=3600"}
        return _PatientResponse(photo.data, media_type=photo.media_type, headers=headers)

    async def _poll(self, request: Request) -> Response:
        body = await _json_body(request)
        someone = _person(body)
        run = self._shift.newest_run()
        if run is None or body.get("run") != run.run_id:  # the phone still shows an earlier run
            return JSONResponse(self._polling.poll(someone, [], None, 0))
        holding = [number for number in _list(body, "holding", _MOST_HELD) if type(number) is int]
        since = body.get("since") if body.get("epoch") == self._shift.epoch else 0
        state = self._polling.poll(someone, holding, _wish(body.get("wish")), since if isinstance(since, int) else 0)
        return JSONResponse(state)

    async def _save(self, request: Request) -> Response:
        body = await _json_body(request)
        someone, entries = _person(body), _list(body, "entries", _MOST_ENTRIES)
        try:
            results = await run_in_threadpool(self._saving.save, someone, entries)
        except ReconcileError as error:
            self._log.warn(f"counts could not be saved; phones keep them: {error}")
            raise HTTPException(503, first_line(error)) from None
        return JSONResponse({"results": results})

    async def _unexpected(self, _: Request, error: Exception) -> Response:
        if not isinstance(error, ClientDisconnect):
            self._log.error(f"unexpected {type(error).__name__}: {first_line(error)}")
        return JSONResponse({"error": "the server made a mistake; its log says more"}, 500)


def queue_json(run: RecountRun, *, is_open: bool) -> dict[str, Any]:
    """Return the queue as phones get it. Only an open count includes the record and the count from the photo."""

    def card_json(card: Card) -> dict[str, Any]:
        blind = {"n": card.number, "bin": card.bin_id, "parts": card.parts, "items": card.items}
        return blind | ({"record": card.expected_quantity, "photo": card.predicted_label} if is_open else {})

    return {
        "run": run.run_id,
        "started_at": run.started_at,
        "parts": run.part_names,
        "cards": [card_json(card) for card in run.cards.values()],
        "walking": run.walking,
    }


class SafeHeaders:
    """Sets headers that keep a browser from running, framing, caching or leaking anything."""

    def __init__(self, app: ASGIApp, policy: str) -> None:
        self._app = app
        self._headers = {
            b"content-security-policy": policy.encode(),
            b"x-content-type-options": b"nosniff",
            b"x-frame-options": b"DENY",
            b"referrer-policy": b"no-referrer",
            b"cross-origin-resource-policy": b"same-origin",
            b"cross-origin-opener-policy": b"same-origin",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = dict(message.get("headers", []))
                message["headers"] = list(({b"cache-control": b"no-store"} | headers | self._headers).items())
            await send(message)

        await self._app(scope, receive, send_safely)


class _PatientResponse(Response):
    """A response whose connection ends if the phone does not receive it in time."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with asyncio.timeout(_PHOTO_SECONDS):
            await super().__call__(scope, receive, send)


async def _json_body(request: Request) -> dict[str, Any]:
    """Return the JSON object of a request.

    Raises:
        HTTPException: the body is too large, too slow, or not a JSON object.
    """
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise HTTPException(415, "the body must be JSON")
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > _MAX_BODY_BYTES:
                    raise HTTPException(413, "the body is too large", {"connection": "close"})
    except TimeoutError:
        raise HTTPException(408, "the body did not come in time", {"connection": "close"}) from None
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise HTTPException(400, "the body must be a JSON object")
    return value


def _person(body: dict[str, Any]) -> Person:
    device, who = body.get("device"), text_of(body.get("who"), LONGEST_NAME)
    if not isinstance(device, str) or not ENTRY_ID_FORM.fullmatch(device) or who is None:
        raise HTTPException(400, "the request does not say who counts, or from which phone")
    return Person(device, who)


def _wish(value: Any) -> Wish | None:
    if not isinstance(value, dict):
        return None
    after, area = value.get("after"), value.get("area")
    return Wish(
        order="chance" if value.get("order") == "chance" else "walking",
        area=area if isinstance(area, str) else None,
        after=after if type(after) is int else None,
        skipped=frozenset(number for number in _list(value, "skipped", 10_000) if type(number) is int),
    )


def _list(values: dict[str, Any], name: str, most: int) -> list[Any]:
    value = values.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > most:
        raise HTTPException(400, f"{name} must be a list of at most {most:,}")
    return value


async def _error_response(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)
