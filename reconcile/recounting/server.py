"""Start, run and stop the server."""

from __future__ import annotations

import hashlib
import os
import ssl
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from reconcile.errors import UsageError
from reconcile.locations import open_output, output_folder
from reconcile.output.run_ids import RUN_ID_FORM
from reconcile.recounting.access import RequireAccess, load_secrets
from reconcile.recounting.address import advice_for, print_qr, web_address
from reconcile.recounting.app import RecountApp
from reconcile.recounting.journal import open_journals
from reconcile.recounting.page import Page
from reconcile.recounting.queue import RecountRun, read_queue
from reconcile.recounting.saving import Saving
from reconcile.recounting.shift import Shift
from reconcile.recounting.storing import Storing
from reconcile.temporary import temporary_folder
from reconcile.web.connections import LimitedProtocol
from reconcile.web.listening import listen

if TYPE_CHECKING:
    from reconcile.config import Settings
    from reconcile.logs import RunLog
    from reconcile.output.store import Output
    from reconcile.recounting.shift import Rules


_SHUTDOWN_SECONDS = 10
"""The seconds that open requests may take after SIGTERM."""
_KEEP_ALIVE_SECONDS = 30
"""The seconds for which an idle connection of a phone stays open. Phones ask every few seconds."""


@dataclass(frozen=True)
class Encryption:
    """The files of a certificate."""

    certificate: Path
    key: Path | None
    """None if the file of the certificate also holds the key."""


@dataclass(frozen=True)
class RecountServer:
    """Where a server listens, who may use it, and where it keeps taps."""

    host: str
    port: int
    token: str | None = None
    """None for the token of the last start, or a random one."""
    encryption: Encryption | None = None
    journal: Path | None = None
    """The folder of the journal; None for the usual one."""


def recount(settings: Settings, rules: Rules, options: RecountServer, access: dict[str, Any], log: RunLog) -> None:
    """Serve the app until SIGTERM or Ctrl-C. Then write the last verdicts.

    Args:
        settings: `<out>` and how to reach it; also the pattern of the location parts.
        rules: what the lead decided.
        options: where to listen, and who may use the server.
        access: the bucket of the photos and the access to it, if they have changed since the run.
        log: gets the state of the server.

    Raises:
        ReconcileError: the server cannot listen on the port, or its journal cannot be written.
        UsageError: the certificate cannot be used.
    """
    if options.encryption is not None:
        _check_certificate(options.encryption)
    output = open_output(settings)
    state_folder = _state_folder(output)
    in_output = output_folder(settings)
    default_journal = state_folder if in_output is None else in_output / "recount"
    journals = open_journals(options.journal or default_journal, log.warn)
    with (
        temporary_folder() as scratch,
        listen(options.host, options.port) as listener,
    ):
        port = int(listener.getsockname()[1])
        secret = load_secrets(state_folder / "access.json", options.token)
        load = partial(load_run, output, scratch, settings.where, access)
        shift = Shift(rules, journals[0], load)
        storing = Storing(output, journals, shift, scratch, log)
        is_secure = options.encryption is not None
        address = web_address(options.host, port, secret.token, is_encrypted=is_secure)
        advice = advice_for(options.host, port)
        app = RecountApp(shift, Saving(shift, journals[0]), Page(rules, address, advice), log, storing.stop)
        guarded = RequireAccess(app.asgi, secret, f"reconcile-recount-{port}", is_secure=is_secure)
        storing.start()
        print(f"open {address}", flush=True)
        if sys.stdout.isatty():
            print_qr(address, sys.stdout)
        log.info(f"listening on {options.host}:{port}, taps are kept in {options.journal or default_journal}")
        if advice:
            log.info(advice)
        server = uvicorn.Server(_config(guarded, options.encryption))
        # uvicorn handles the signal, answers the open requests, and then raises the signal again.
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
    log.info(f"stopped; wrote {storing.verdicts:,} taps in {storing.parts:,} parts to {output.location}/verdicts")


def _config(app: RequireAccess, encryption: Encryption | None) -> uvicorn.Config:
    # `RecountApp` logs what matters. uvicorn would also log every request, with the token in the address.
    return uvicorn.Config(
        app,
        http=LimitedProtocol,
        ws="none",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # otherwise a client could choose the address by which its guesses are counted
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        ssl_certfile=None if encryption is None else encryption.certificate,
        ssl_keyfile=None if encryption is None else encryption.key,
    )


def load_run(
    output: Output, scratch: Path, pattern: str | None, access: dict[str, Any], run_id: str
) -> RecountRun | None:
    """Return the queue of a run as `queue.read_queue`, or None if there is no such finished run."""
    is_finished = RUN_ID_FORM.fullmatch(run_id) is not None and output.has_finished(run_id)
    return read_queue(output, run_id, scratch, pattern, access) if is_finished else None


def _state_folder(output: Output) -> Path:
    """Return the folder for what one `<out>` needs on this machine (XDG Base Directory Specification).

    Raises:
        UsageError: this user has no home folder.
    """
    try:
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    except RuntimeError:
        raise UsageError("this user has no home folder; set XDG_STATE_HOME to a folder that stays") from None
    return Path(state, "reconcile", f"recount-{hashlib.sha256(output.location.encode()).hexdigest()[:12]}")


def _check_certificate(encryption: Encryption) -> None:
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(encryption.certificate, encryption.key)
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror or str(error)
        raise UsageError(f"--tls-cert {encryption.certificate} cannot be used: {reason}") from None
