"""Wait for a job and report its state."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from reconcile.concurrency import cancellation
from reconcile.engines.sagemaker.client import COMPLETED, ENDED
from reconcile.errors import ReconcileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconcile.engines.sagemaker.client import JobKind, SageMaker
    from reconcile.logs import RunLog


_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 15.0
"""The first and the longest pause between two requests for the state. Each pause is 1.5 times the one before."""


def wait_for_job(
    sagemaker: SageMaker, kind: JobKind, name: str, log: RunLog, between: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Wait until a job has ended, and log each new state.

    Args:
        sagemaker: the SageMaker of the job.
        kind: the kind of the job.
        name: the name of the job.
        log: gets a line for each new state.
        between: called between any two requests for the state.

    Returns:
        the description of the job after its end.

    Raises:
        ReconcileError: the job does not exist any more, or SageMaker cannot be reached.
        KeyboardInterrupt: somebody asked this process to stop.
    """
    started, pause, logged = time.monotonic(), _FIRST_PAUSE_SECONDS, ""
    while True:
        job = sagemaker.describe(kind, name)
        if job is None:
            raise ReconcileError(f"{kind.words} {name} does not exist in {sagemaker.region} any more")
        status = job[f"{kind.value}JobStatus"]
        state = status if job.get("SecondaryStatus") in (None, status) else f"{status}, {job['SecondaryStatus']}"
        if state != logged:
            waited = time.monotonic() - started
            log.info(f"{kind.words} {name}: {state}, after {waited:.0f} s", stage="sagemaker", state=state)
            logged = state
        if status in ENDED:
            return job
        between()
        cancellation.sleep(pause)
        pause = min(1.5 * pause, _LONGEST_PAUSE_SECONDS)


def still_running_message(sagemaker: SageMaker, kind: JobKind, name: str) -> str:
    """Return the message for a process that ends before its job. The job costs money until it ends or is stopped."""
    return (
        f"{kind.words} {name} is still running at SageMaker; the same command resumes it; "
        f"to stop it: {sagemaker.command_to_stop(kind, name)}"
    )


@contextmanager
def creating_job(
    sagemaker: SageMaker, kind: JobKind, name: str, log: RunLog, clean_up: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Wrap the requests that create a job. If they are interrupted, log how to stop a job that may exist.

    Args:
        sagemaker: the SageMaker of the job.
        kind: the kind of the job.
        name: the name of the job.
        log: gets a warning if the job exists or may exist.
        clean_up: called after an error if the job does not exist.
    """
    try:
        yield
    except KeyboardInterrupt:
        log.warn(still_running_message(sagemaker, kind, name))
        raise
    except ReconcileError:
        message = still_running_message(sagemaker, kind, name)
        try:
            may_exist = sagemaker.describe(kind, name) is not None
        except ReconcileError:  # the first error is the one to report
            may_exist, message = True, f"it may be that {message}"
        if may_exist:
            log.warn(message)
        else:
            clean_up()
        raise


def failure_reason(sagemaker: SageMaker, kind: JobKind, name: str, job: dict[str, Any]) -> str | None:
    """Return in one line why an ended job did not complete, or None if it completed."""
    status = job[f"{kind.value}JobStatus"]
    if status == COMPLETED:
        return None
    if status == "Stopped":
        return f"{kind.words} {name} was stopped"
    reason = (job.get("FailureReason") or "SageMaker gave no reason").rstrip(". ")
    return f"{kind.words} {name} failed: {reason}; {sagemaker.log_tail(kind, name)}"
