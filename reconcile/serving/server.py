"""Start, run and stop the server."""

from __future__ import annotations

import os
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn

from reconcile.concurrency.background import Background
from reconcile.errors import UsageError
from reconcile.serving.app import CountingApp
from reconcile.serving.batching import DynamicBatcher
from reconcile.serving.bearer_token import RequireToken
from reconcile.serving.bucket_access import AllowedBuckets
from reconcile.serving.key_fetching import KeyCounter
from reconcile.serving.model_loading import load_served_model
from reconcile.serving.responses import OFFERED, choose_format
from reconcile.web.connections import LimitedProtocol
from reconcile.web.listening import is_loopback, listen

if TYPE_CHECKING:
    from reconcile.config import Settings
    from reconcile.logs import RunLog


_SHUTDOWN_SECONDS = 600
"""The seconds that open requests may take after SIGTERM. SageMaker waits this long by default. Keys may take
minutes."""


@dataclass(frozen=True)
class ServerOptions:
    """The address on which a server listens, and the rights of clients."""

    host: str
    """The address to listen on."""
    port: int
    """The port to listen on; 0 for any free port."""
    token: str | None = None
    """The token that clients have to send; None to serve everybody."""
    allowed_buckets: tuple[str, ...] = ()
    """The buckets that requests may name beside the bucket of the settings."""


def serve(settings: Settings, options: ServerOptions, log: RunLog) -> None:
    """Serve until SIGTERM or Ctrl-C. Open requests are answered first, for up to ten minutes.

    Args:
        settings: model, device and batch size; also the bucket and how to reach it, for requests with keys.
        options: where to listen, and what clients may do.
        log: gets the state of the server.

    Raises:
        ReconcileError: the model does not load, or the server cannot listen on the port.
        UsageError: SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT is not a supported media type, or reconcile does not support
            an allowed bucket.
    """
    default_accept = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT")
    accept = choose_format(default_accept, OFFERED[0]) if default_accept else None
    if default_accept and accept is None:
        raise UsageError(
            f"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT is {default_accept}; expected one of {', '.join(OFFERED)}"
        )
    buckets = AllowedBuckets(settings.bucket, options.allowed_buckets)
    app = CountingApp(log, accept)
    # `app` logs what matters. uvicorn would also log every request, and errors with tracebacks.
    config = uvicorn.Config(
        app.asgi if options.token is None else RequireToken(app.asgi, options.token),
        http=LimitedProtocol,
        ws="none",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    server = uvicorn.Server(config)
    loaded: Future[None] = Future()
    host = options.host
    with listen(host, options.port) as listener:
        log.info(f"listening on {host}:{listener.getsockname()[1]}, loading the model")
        if options.token is None and not is_loopback(host):
            log.warn("every client that reaches this address can use the server; --token-file requires a token")
        Background("load", _load, settings, buckets, app, log, server, loaded)
        # uvicorn handles the signal, answers the open requests, and then raises the signal again.
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
    if loaded.done():
        loaded.result()
    log.info(f"stopped; {app.stats_line}")


def _load(
    settings: Settings,
    buckets: AllowedBuckets,
    app: CountingApp,
    log: RunLog,
    server: uvicorn.Server,
    loaded: Future[None],
) -> None:
    """Load the model and hand it to the application. After an error, end the server."""
    try:
        predictor = load_served_model(settings, log.warn)
        batcher = DynamicBatcher(predictor)
        app.set_model(batcher, KeyCounter(batcher, settings.s3_access(), buckets))
        log.info(f"ready: counting with {predictor.model_id} on {predictor.device} ({predictor.path})")
        loaded.set_result(None)
    except Exception as error:  # any error: the serving thread raises it
        loaded.set_exception(error)
        server.should_exit = True
