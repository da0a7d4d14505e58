"""Command `doctor`."""

from __future__ import annotations

from typing import Any

from reconcile.cli import options
from reconcile.errors import ReconcileError
from reconcile.logs import printable
from reconcile.text import plural


@options.takes(
    *options.INPUTS, *options.S3, "no_sign_request", *options.COUNTING, *options.ENGINE, "out", "stale_after"
)
def doctor(**flags: Any) -> None:
    """Check everything that a run needs, and say how to fix what fails.

    The checks read a few objects. They count nothing and leave nothing behind.

    Each line starts with ok, FAIL or ?. A ? marks what was not checked, or what a person should look at.

    With --engine ray or sagemaker, the command checks that engine instead of the model on this machine.

    Exit codes: 0 no check failed, 1 a check failed, 2 wrong usage.
    """
    settings = options.load_run_settings(flags, need_bucket=False)
    from reconcile.doctor.environment import run_checks

    failed = 0
    for result in run_checks(settings):
        failed += result.status == "FAIL"
        print(f"{result.status:<4}  {result.subject:<10} {printable(result.text)}", flush=True)
    if failed:
        raise ReconcileError(f"{plural(failed, 'check')} failed, and a run would fail too")
