"""Command `serve`."""

from __future__ import annotations

from typing import Annotated, Any

from reconcile.cli import options
from reconcile.cli.exits import report_failure
from reconcile.errors import ReconcileError
from reconcile.logs import RunLog

SAGEMAKER_VARIABLES = "SageMaker sets SAGEMAKER_BIND_TO_PORT, and SM_MODEL_DIR (/opt/ml/model), the model's folder."
_SERVER = "Server"


@options.takes("bucket", *options.S3, "no_sign_request", *options.COUNTING, "log_format")
def serve(
    host: Annotated[
        str,
        options.option("Address to listen on (default: 0.0.0.0, all addresses).", _SERVER),
    ] = "0.0.0.0",  # noqa: S104
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
    **flags: Any,
) -> None:
    """Count photos over HTTP, with the endpoints that SageMaker expects. Needs the extra `serve`.

    POST /invocations takes one image, or JSON Lines of keys: {"key": "bin-images/1.jpg", "etag": "..."}.

    After SIGTERM, the server answers the requests that have begun, then ends.

    Exit codes: 0 ended by a signal, 1 failed, 2 wrong usage.
    """
    _require_serving_extra()
    from reconcile.config import load_settings

    settings = load_settings(flags, need_bucket=False)
    log = RunLog(settings.log_format)
    with report_failure(log):
        from reconcile.serving.server import serve

        serve(settings, host, port, log)


def _require_serving_extra() -> None:
    from importlib.util import find_spec

    if any(find_spec(name) is None for name in ("starlette", "uvicorn", "werkzeug")):
        raise ReconcileError("serving needs the extra `serve`: in a checkout, make dev or pip install '.[serve]'")
