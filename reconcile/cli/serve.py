"""Command `serve`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from reconcile.cli import options
from reconcile.cli.exits import report_failure
from reconcile.errors import ReconcileError
from reconcile.logs import RunLog
from reconcile.variables import SERVE_BUCKETS, SERVE_TOKEN

SAGEMAKER_VARIABLES = "SageMaker sets SAGEMAKER_BIND_TO_PORT, and SM_MODEL_DIR (/opt/ml/model), the model's folder."
_SERVER = "Server"
_CONTAINER_VARIABLES = ("SAGEMAKER_BIND_TO_PORT", "SM_MODEL_DIR", "KUBERNETES_SERVICE_HOST")
_CONTAINER_FILES = (Path("/.dockerenv"), Path("/run/.containerenv"))
"""Files that exist in containers of Docker and Podman."""


@options.takes("bucket", *options.S3, "no_sign_request", *options.COUNTING, "log_format")
def serve(
    host: Annotated[
        str | None,
        options.option(
            "Address to listen on (default: 127.0.0.1, this machine only; in a container 0.0.0.0, all addresses).",
            _SERVER,
        ),
    ] = None,
    port: Annotated[
        int,
        options.option(
            "Port to listen on, 0 for any free port (default: 8080).",
            _SERVER,
            envvar="SAGEMAKER_BIND_TO_PORT",
            min=0,
            max=65535,
        ),
    ] = 8080,
    token_file: Annotated[
        Path | None,
        options.option(
            "File with a token that clients must send as `Authorization: Bearer TOKEN` "
            f"(default: {SERVE_TOKEN}, or no token).",
            _SERVER,
        ),
    ] = None,
    allow_bucket: Annotated[
        list[str] | None,
        options.option(
            "Another bucket or folder that requests may name, besides --bucket. May be repeated.",
            _SERVER,
            envvar=SERVE_BUCKETS,
            metavar="<str>",
        ),
    ] = None,
    **flags: Any,
) -> None:
    """Count photos over HTTP, with the endpoints that SageMaker expects. Needs the extra `serve`.

    POST /invocations takes one image, or JSON Lines of keys: {"key": "bin-images/1.jpg", "etag": "..."}.

    After SIGTERM, the server answers the requests that have begun, then ends.

    Exit codes: 0 ended by a signal, 1 failed, 2 wrong usage.
    """
    require_serving_extra()
    from reconcile.config import load_settings

    settings = load_settings(flags, need_bucket=False)
    log = RunLog(settings.log_format)
    with report_failure(log):
        from reconcile.serving.bearer_token import read_token
        from reconcile.serving.server import ServerOptions, serve

        token = read_token(token_file, os.environ.get(SERVE_TOKEN))
        serve(settings, ServerOptions(host or default_host(), port, token, tuple(allow_bucket or ())), log)


def default_host() -> str:
    """Return the address to listen on if the user names none.

    A container has its own network, and its ports are closed until somebody publishes them. SageMaker requires that
    the server listens on all addresses.
    """
    in_container = any(os.environ.get(name) is not None for name in _CONTAINER_VARIABLES)
    in_container = in_container or any(path.exists() for path in _CONTAINER_FILES)
    return "0.0.0.0" if in_container else "127.0.0.1"  # noqa: S104


def require_serving_extra(*more: str) -> None:
    """Check that the packages for serving are installed.

    Args:
        more: packages that a command needs besides those of `serve`.

    Raises:
        ReconcileError: a package is missing; the message says how to install it.
    """
    from importlib.util import find_spec

    if any(find_spec(name) is None for name in ("starlette", "uvicorn", "werkzeug", *more)):
        raise ReconcileError("serving needs the extra `serve`: in a checkout, make dev or pip install '.[serve]'")
