"""The command of a container that counts for others: serve."""

from __future__ import annotations

from typing import Annotated

from reconcile.cli import options
from reconcile.cli.exits import report_failure
from reconcile.errors import ReconcileError
from reconcile.logs import RunLog

FROM_SAGEMAKER = "SageMaker sets SAGEMAKER_BIND_TO_PORT, and SM_MODEL_DIR says where its model lies (/opt/ml/model)."
_LISTENING = "Where to listen"


def serve(
    host: Annotated[str, options.option("Address to listen on (default: all).", _LISTENING)] = "0.0.0.0",  # noqa: S104
    port: Annotated[
        int,
        options.option(
            "Port to listen on, 0 for any (default: 8080).",
            _LISTENING,
            envvar="SAGEMAKER_BIND_TO_PORT",
            min=0,
            max=65535,
        ),
    ] = 8080,
    bucket: options.Bucket = None,
    endpoint_url: options.EndpointUrl = None,
    region: options.Region = None,
    profile: options.Profile = None,
    no_sign_request: options.NoSignRequest = None,
    model: options.Model = None,
    device: options.Device = None,
    batch_size: options.BatchSize = None,
    log_format: options.LogFormat = None,
) -> None:
    """Count over HTTP, as SageMaker asks of a container. Needs the extra `serve`.

    POST /invocations takes one image, or JSON Lines of keys: {"key": "bin-images/1.jpg", "etag": "..."}.
    SIGTERM ends it once every request that has begun is answered.

    Exit codes: 0 ended by a signal, 1 failed, 2 wrong usage.
    """
    _need_serving_extra()
    from reconcile.config import load_settings

    flags = {
        "bucket": bucket,
        "endpoint_url": endpoint_url,
        "region": region,
        "profile": profile,
        "no_sign_request": no_sign_request,
        "model": model,
        "device": device,
        "batch_size": batch_size,
        "log_format": log_format,
    }
    settings = load_settings(flags, need_bucket=False)
    messages = RunLog(settings.log_format)
    with report_failure(messages):
        from reconcile.serving.server import serve

        serve(settings, host, port, messages)


def _need_serving_extra() -> None:
    from importlib.util import find_spec

    if any(find_spec(name) is None for name in ("starlette", "uvicorn", "werkzeug")):
        raise ReconcileError("serving needs the extra `serve`: in a checkout, make dev or pip install '.[serve]'")
