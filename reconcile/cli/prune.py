"""Command `prune`."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from reconcile.cli import options
from reconcile.cli.exits import report_failure
from reconcile.concurrency import cancellation
from reconcile.errors import ReconcileError, UsageError
from reconcile.logs import RunLog, printable


@options.takes(*options.OUTPUT)
def prune(
    keep: Annotated[int, typer.Option(help="Number of finished runs to keep, the newest ones.", min=1)] = 30,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking, for example under cron.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
    **flags: Any,
) -> None:
    """Remove old runs, and counts of models that no kept run used. Verdicts and records stay.

    Files that wait in the inbox stay, too. Copies of imported files go with the runs that imported them.

    The command lists what it would remove, then asks. It also removes runs that never finished, if a later run has
    finished.

    Example: `reconcile prune --out results --keep 90 --yes`

    Exit codes: 0 done, 1 failed or you answered no, 2 wrong usage, 130 interrupted.
    """
    output = options.open_output(flags)
    from reconcile.output.retention import apply_removal, plan_removal

    log = RunLog("text")
    with report_failure(log):
        removal = plan_removal(output, keep)
        for line in removal.lines:
            print(printable(line))
        if not removal.objects:
            print(f"nothing to remove in {output.location}")
            return
        if dry_run:
            print(f"{removal.size_text} would be removed from {output.location}")
            return
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError("nothing was removed: prune cannot ask without a terminal; add --yes or --dry-run")
            if not _confirm(f"Remove {removal.size_text} from {output.location}?"):
                raise ReconcileError("nothing was removed")
        print(f"{apply_removal(output, keep, removal, log).size_text} removed from {output.location}")


def _confirm(question: str) -> bool:
    """Ask a question, and return whether the answer is yes. The end of the input is a no.

    Raises:
        KeyboardInterrupt: the person pressed Ctrl-C.
    """
    try:
        return typer.confirm(question)
    except typer.Abort:  # Ctrl-C, or the end of the input
        if cancellation.is_requested():
            raise KeyboardInterrupt from None
        return False
