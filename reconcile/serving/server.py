"""The server's life: it listens, loads the model, answers, and ends when it is told to."""

from __future__ import annotations

import os
import socket
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING

import uvicorn

from reconcile.concurrency.background import Background
from reconcile.errors import ReconcileError, UsageError
from reconcile.serving.app import CountingApp
from reconcile.serving.batching import DynamicBatcher
from reconcile.serving.key_fetching import KeyCounter
from reconcile.serving.model_loading import load_chosen
from reconcile.serving.responses import OFFERED, choose_format

if TYPE_CHECKING:
    from reconcile.config import Settings
    from reconcile.logs import RunLog


_LAST_ANSWERS_SECONDS = 600
"""After SIGTERM. A request with keys may take minutes, and SageMaker by default waits no longer for an answer."""


def serve(settings: Settings, host: str, port: int, messages: RunLog) -> None:
    """Serve until SIGTERM or Ctrl-C; requests that have begun are answered before it ends, if ten minutes are enough.

    Args:
        settings: model, device, batch size; bucket and how to reach it, for requests that name keys.
        host: address to listen on.
        port: to listen on; 0 for any.
        messages: told what it does.

    Raises:
        ReconcileError: the model does not load, or the port cannot be had.
        UsageError: SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT is nothing that can be answered.
    """
    asked = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT")
    accept = choose_format(asked, OFFERED[0]) if asked else None
    if asked and accept is None:
        raise UsageError(f"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT is {asked}; there is {', '.join(OFFERED)}")
    app = CountingApp(messages, accept)
    # uvicorn would tell of requests, and of failures with tracebacks; what is worth telling is told by `app`.
    config = uvicorn.Config(
        app.asgi,
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_LAST_ANSWERS_SECONDS,
    )
    server = uvicorn.Server(config)
    loaded: Future[None] = Future()
    with _listen(host, port) as listening:
        messages.info(f"listening on {host}:{listening.getsockname()[1]}, loading the model")
        Background("load", _load, settings, app, messages, server, loaded)
        # uvicorn hears the signal, answers what there is, and then passes the signal on.
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listening])
    if loaded.done():
        loaded.result()
    messages.info(f"stopped; {app.stats_line}")


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        raise ReconcileError(f"cannot listen on {host}:{port}: {error}") from None


def _load(settings: Settings, app: CountingApp, messages: RunLog, server: uvicorn.Server, loaded: Future[None]) -> None:
    """Load the model and let the application use it; where that fails, end the server."""
    try:
        counter = load_chosen(settings, messages.warn)
        shared = DynamicBatcher(counter)
        app.set_model(shared, KeyCounter(shared, settings.s3_access(), settings.bucket))
        messages.info(f"ready: counting with {counter.model_id} on {counter.device} ({counter.path})")
        loaded.set_result(None)
    except Exception as error:  # whatever it is, the thread that serves tells it
        loaded.set_exception(error)
        server.should_exit = True
