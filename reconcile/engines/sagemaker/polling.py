"""Waits for a job to end, and tells how it goes."""

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
"""Between two looks; each pause is half as long again. Jobs take minutes to begin."""


def wait_for_job(
    service: SageMaker, kind: JobKind, name: str, messages: RunLog, look: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Wait until a job has ended; each state that it comes to is told in a line.

    Args:
        service: whose job it is.
        kind: of job.
        name: of the job.
        messages: told of its states.
        look: called between the looks at the job.

    Returns:
        the job as described at its end.

    Raises:
        ReconcileError: there is no such job (any more), or SageMaker cannot be asked.
        KeyboardInterrupt: somebody asked this process to stop.
    """
    started, pause, told = time.monotonic(), _FIRST_PAUSE_SECONDS, ""
    while True:
        job = service.describe(kind, name)
        if job is None:
            raise ReconcileError(f"there is no {kind.words} {name} in {service.region} any more")
        status = job[f"{kind.value}JobStatus"]
        state = status if job.get("SecondaryStatus") in (None, status) else f"{status}, {job['SecondaryStatus']}"
        if state != told:
            waited = time.monotonic() - started
            messages.info(f"{kind.words} {name}: {state}, after {waited:.0f} s", stage="sagemaker", state=state)
            told = state
        if status in ENDED:
            return job
        look()
        cancellation.sleep(pause)
        pause = min(1.5 * pause, _LONGEST_PAUSE_SECONDS)


def still_running_message(service: SageMaker, kind: JobKind, name: str) -> str:
    """What to tell when this process ends before the job: it costs money, and somebody has to know."""
    return (
        f"{kind.words} {name} goes on at SageMaker; the same command takes it up again, and this stops it: "
        f"{service.command_to_stop(kind, name)}"
    )


@contextmanager
def creating_job(
    service: SageMaker, kind: JobKind, name: str, messages: RunLog, never_mind: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Around the request for a job: where it ends early, a job that there may be by then is told of.

    Args:
        service: that is asked.
        kind: of job.
        name: of the job.
        messages: told.
        never_mind: called after an error that left no job.
    """
    try:
        yield
    except KeyboardInterrupt:
        messages.warn(still_running_message(service, kind, name))
        raise
    except ReconcileError:
        told = still_running_message(service, kind, name)
        try:
            is_there = service.describe(kind, name) is not None
        except ReconcileError:  # the first error is the one to tell
            is_there, told = True, f"it may be that {told}"
        if is_there:
            messages.warn(told)
        else:
            never_mind()
        raise


def failure_reason(service: SageMaker, kind: JobKind, name: str, job: dict[str, Any]) -> str | None:
    """In one line, why a job that has ended did not complete; None where it did."""
    status = job[f"{kind.value}JobStatus"]
    if status == COMPLETED:
        return None
    if status == "Stopped":
        return f"{kind.words} {name} was stopped"
    reason = (job.get("FailureReason") or "no reason given").rstrip(". ")
    return f"{kind.words} {name} failed: {reason}; {service.log_tail(kind, name)}"
