"""Phase 0 of a run: import the files of verdicts in `<out>/inbox/`."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING

from reconcile.concurrency import cancellation
from reconcile.output.store import INBOX
from reconcile.text import plural
from reconcile.verdicts.inbox import import_inbox

if TYPE_CHECKING:
    from pathlib import Path

    from reconcile.output.summary import Summary
    from reconcile.pipeline.context import RunContext
    from reconcile.verdicts.inbox import InboxResult


def import_verdict_files(context: RunContext, scratch: Path, summary: Summary) -> None:
    """Import the files in the inbox, so that this run learns from them. Problems are logged and never end the run.

    Args:
        context: what the run needs. It holds the lock of `<out>`.
        scratch: a folder for this run alone.
        summary: gets what became of each file.
    """
    work = scratch / "inbox"
    # The run may have lost its lock, and another run may be importing the same files.
    results = import_inbox(context.output, work, cancellation.raise_if_cancelled)
    shutil.rmtree(work, ignore_errors=True)  # copies of earlier runs need disk space that this run needs, too
    for result in results:
        _log(context, result)
    summary.inbox = [{name: value for name, value in asdict(result).items() if name != "reasons"} for result in results]


def _log(context: RunContext, result: InboxResult) -> None:
    name = f"{INBOX}{result.file}" if result.file != INBOX else INBOX
    fields = {"stage": "inbox", "file": result.file, "imported": result.imported, "rejected": result.rejected}
    where = f"; see {result.rejected_file}" if result.rejected_file else ""
    if result.problem:
        rejected = "the file was rejected: " if result.is_rejected else ""
        context.log.warn(f"{name}: {rejected}{result.problem}{where}", **fields)
    if result.imported or result.rejected or not result.problem:
        counts = f"{plural(result.imported, 'verdict')} imported, {result.known:,} already known"
        write = context.log.warn if result.rejected else context.log.info
        write(f"{name}: {counts}, {plural(result.rejected, 'line')} rejected{where}", **fields)
    for reason in result.reasons:
        context.log.warn(f"{name}: {reason}", stage="inbox", file=result.file, reason=reason)
