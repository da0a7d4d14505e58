"""Command `recount`."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 # typer reads the annotations
from typing import Annotated, Any

from reconcile.cli import options
from reconcile.cli.exits import report_failure
from reconcile.cli.serve import require_serving_extra
from reconcile.errors import UsageError
from reconcile.logs import RunLog
from reconcile.variables import RECOUNT_TOKEN

_SERVER, _COUNTING = "Server", "Counting"
_REASONS = "misplaced,damaged,picked,unreadable-label"


@options.takes(*options.OUTPUT, "bucket", "no_sign_request", "where", "log_format")
def recount(
    host: Annotated[
        str, options.option("Address to listen on. 0.0.0.0 opens the app to the network.", _SERVER)
    ] = "127.0.0.1",
    port: Annotated[int, options.option("Port to listen on, 0 for any free port.", _SERVER, min=0, max=65535)] = 8090,
    token: Annotated[
        str | None,
        options.option(
            "Secret in the address that people open (default: that of the last start, or a random one).",
            _SERVER,
            envvar=RECOUNT_TOKEN,
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        options.option("Certificate for https, as a PEM file.", _SERVER, exists=True, dir_okay=False),
    ] = None,
    tls_key: Annotated[
        Path | None,
        options.option("Key of the certificate, if it is in another file.", _SERVER, exists=True, dir_okay=False),
    ] = None,
    journal: Annotated[
        Path | None,
        options.option(
            "Folder on this machine that keeps counts until they are in --out (default: recount, in --out).", _SERVER
        ),
    ] = None,
    open_: Annotated[
        bool, options.option("Show record and model's count before a person counts.", _COUNTING, "--open")
    ] = False,
    reasons: Annotated[str, options.option("Reasons to choose from, separated by commas.", _COUNTING)] = _REASONS,
    second_count: Annotated[
        bool,
        options.option(
            "Ask another person to count a bin if the first count differs from the record.", _COUNTING, "--second-count"
        ),
    ] = False,
    tolerance: Annotated[
        int | None,
        options.option(
            "With --second-count: accept counts that differ by at most N items (default: that of the run).",
            _COUNTING,
            min=0,
        ),
    ] = None,
    **flags: Any,
) -> None:
    """Serve a web app with which people recount bins on their phones. Needs the extra `serve`.

    The app shows the recount queue of the newest run in --out, and saves each count as a verdict at once. Without
    --open, nobody sees the record before they count.

    Exit codes: 0 ended by a signal, 1 failed, 2 wrong usage.
    """
    require_serving_extra("segno")
    if tls_key is not None and tls_cert is None:
        raise UsageError("--tls-key needs --tls-cert")
    if tolerance is not None and not second_count:
        raise UsageError("--tolerance needs --second-count")
    from reconcile.config import load_settings

    settings = load_settings(flags, need_bucket=False)
    access = {name: flags[name] for name in ("bucket", *options.S3, "no_sign_request") if flags[name] is not None}
    log = RunLog(settings.log_format)
    with report_failure(log):
        from reconcile.recounting.server import Encryption, RecountServer
        from reconcile.recounting.server import recount as serve_recounts
        from reconcile.recounting.shift import Rules
        from reconcile.web.tokens import check_token

        rules = Rules(open_, second_count, tolerance, _parse_reasons(reasons))
        encryption = None if tls_cert is None else Encryption(tls_cert, tls_key)
        chosen = None if token is None else check_token(token, f"--token (or {RECOUNT_TOKEN})")
        serve_recounts(settings, rules, RecountServer(host, port, chosen, encryption, journal), access, log)


def _parse_reasons(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(reason.strip()[:60] for reason in text.split(",") if reason.strip()))
