"""Commands `run` and `demo`."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from reconcile.cli import options
from reconcile.cli.exits import describe_error, report_failure
from reconcile.cli.startup import INTERRUPTED
from reconcile.concurrency import cancellation
from reconcile.errors import OutputError
from reconcile.logs import RunLog

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconcile.config import Settings


@options.takes(*options.OPTIONS)
def run(**flags: Any) -> None:
    """Count new photos, compare the counts with the records, and write a report.

    If a run is interrupted, run the same command again: it continues where it stopped.

    Example: `reconcile run --bucket s3://my-bins --out results --capacity 40`

    Every option can also be set by a variable (RECONCILE_CAPACITY=40) or in reconcile.toml (capacity = 40).

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 too many photos or records could not be read, 4 alarm reached,
    130 interrupted.
    """
    from reconcile.config import unknown_variables
    from reconcile.output.run_ids import is_rewritten_by_spreadsheets

    log_format = flags["log_format"] or os.environ.get("RECONCILE_LOG_FORMAT")
    with report_failure(RunLog("json" if log_format == "json" else "text")):
        settings = options.load_run_settings(flags)
    warnings = [f"the environment has {name}, but reconcile has no such setting" for name in unknown_variables()]
    if settings.run_id and is_rewritten_by_spreadsheets(settings.run_id):
        warnings.append(
            f"a spreadsheet may change the run id {settings.run_id} into a date or a number; "
            "verdicts from that spreadsheet then cannot be imported"
        )
    _run_pipeline(settings, warnings=warnings)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the results, and for the drawn bins.")] = Path("reconcile-demo"),
) -> None:
    """Try reconcile on 200 bins of Amazon's public bucket, or on drawn bins if that bucket cannot be reached.

    The last line is the address of the report. Open it in a browser.
    """
    from reconcile.config import load_settings
    from reconcile.pipeline.demo import demo_settings

    values, notice = demo_settings(out)
    _run_pipeline(load_settings(values, flags_only=True), notice, print_address=True)


def _run_pipeline(
    settings: Settings, notice: str | None = None, warnings: Iterable[str] = (), *, print_address: bool = False
) -> NoReturn:
    """Run the pipeline once, print its figures, and end the command with the run's exit code.

    Errors go to the log, in the format that the settings ask for.

    Args:
        settings: settings of the run.
        notice: a sentence for the start of the log and of the report.
        warnings: lines for the log.
        print_address: print the report's `file://` address as the last line. `<out>` must be a local folder.
    """
    from reconcile.concurrency.process import tune_for_batch
    from reconcile.output.run_ids import new_run_id
    from reconcile.pipeline.context import open_run
    from reconcile.pipeline.run import run
    from reconcile.reporting.terminal_summary import terminal_summary

    tune_for_batch()
    run_id = settings.run_id or new_run_id()
    log = RunLog(settings.log_format, run_id)
    for warning in warnings:
        log.warn(warning)
    if notice:
        log.info(notice)
    try:
        summary = run(open_run(settings, run_id, log), notice)
    except (Exception, KeyboardInterrupt) as error:
        code, line = describe_error(error, stopped=cancellation.is_requested())
        # A log of cron does not show the command that has to be run again.
        log.error(f"{line}: {shlex.join(sys.argv)}" if code == INTERRUPTED else line)
        raise SystemExit(code) from None
    text = terminal_summary(summary)
    if print_address:
        text += f"\nOpen {Path(summary.report).as_uri()}"
    try:
        print(json.dumps(summary.as_dict()) if settings.log_format == "json" else text, flush=True)
    except OutputError as error:
        log.warn(f"the figures cannot be printed: {error.reason}; summary.json has them")
    if summary.exit_reason:
        log.error(summary.exit_reason)
    raise typer.Exit(summary.exit_code)
