"""Retry policy with one time budget and a circuit breaker.

obstore and boto3 do not retry reads. One budget therefore covers every kind of failure: an error, a broken connection,
a truncated body and a stall.
"""

from __future__ import annotations

import random
import threading
import time
from enum import Enum, auto
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from reconcile.concurrency import cancellation
from reconcile.concurrency.background import run_in_background

if TYPE_CHECKING:
    from collections.abc import Callable


BUDGET_SECONDS = 120.0
"""The seconds for which a request is retried while S3 answers no request, or throttles. A shorter outage costs only
time."""
TRIES = 6
"""Tries of a request while S3 answers other requests, because the fault may lie in this one object."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 10.0
"""The pause before the second try, and the longest pause. Pauses double, and a random jitter cuts up to half."""
GIVEN_UP_IN_A_ROW = 16
"""The circuit opens after this many exhausted requests without an answer in between."""
GRACE_SECONDS = 10.0
"""The seconds that a write may take after a request to stop. Otherwise the counts in this write would be lost."""
T = TypeVar("T")


class FaultKind(Enum):
    """The kind of a failure, which decides about the next try."""

    PERMANENT = auto()
    """S3 answered and would answer the same again, for example: not found, not allowed."""
    TRANSIENT = auto()
    """A server error, or a connection that broke or stalled."""
    UNREACHABLE = auto()
    """No connection was made."""
    THROTTLED = auto()
    """S3 asks to slow down."""
    CREDENTIALS = auto()
    """The credentials have expired or were refused. One try with fresh credentials is worthwhile."""


class RetriesExhausted(Exception):
    """A request failed until its retries were used up."""

    def __init__(self, error: Exception, tries: int, seconds: float) -> None:
        super().__init__(str(error))
        self.error = error
        """The error of the last try."""
        self.effort = f"{tries} tries in {seconds:.0f} s" if tries > 1 else "1 try"


class Retries:
    """The retry state that all threads share for one bucket."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answered = 0
        self._given_up = 0
        self.last_error: RetriesExhausted | None = None
        """The error of the last request that was given up."""

    @property
    def has_answered(self) -> bool:
        """Return whether S3 has answered any request yet."""
        return self._answered > 0

    @property
    def circuit_is_open(self) -> bool:
        """Return whether so many requests failed in a row that S3 itself must be down."""
        return self._given_up >= GIVEN_UP_IN_A_ROW

    def call(
        self,
        request: Callable[[], T],
        classify: Callable[[Exception], FaultKind],
        *,
        use_full_budget: bool,
        during_shutdown: bool = False,
        probe: Callable[[], object] | None = None,
    ) -> T:
        """Make a request and retry it while a retry may help.

        Args:
            request: makes the request once.
            classify: returns the kind of an exception that `request` raised.
            use_full_budget: use the whole budget even while S3 answers other requests, because the run needs this
                response.
            during_shutdown: continue for a grace period after a request to stop.
            probe: another request. It is made when no other request is in flight, to see whether S3 answers.

        Returns:
            what `request` returned.

        Raises:
            RetriesExhausted: the request failed until the budget was used up.
            Exception: what `request` raised, if that failure is permanent.
            KeyboardInterrupt: the process was asked to stop.
        """
        repeat = partial(self._repeat, request, classify, use_full_budget, during_shutdown, probe)
        if threading.current_thread() is not threading.main_thread():
            return repeat()
        return run_in_background(repeat, GRACE_SECONDS if during_shutdown else 0)

    def _repeat(
        self,
        request: Callable[[], T],
        classify: Callable[[Exception], FaultKind],
        use_full_budget: bool,
        during_shutdown: bool,
        probe: Callable[[], object] | None,
    ) -> T:
        started, answered_before = time.monotonic(), 0
        refused, next_pause = 0, FIRST_PAUSE_SECONDS
        for tries in count(1):
            if not during_shutdown:
                cancellation.raise_if_cancelled()
            try:
                result = request()
            except Exception as error:
                fault = classify(error)
                if fault is FaultKind.PERMANENT:
                    self._answer()
                    raise
                refused += fault is FaultKind.CREDENTIALS
                if tries == 1:  # answers from before this failure do not rule out an outage
                    answered_before = self._answered
                elif tries >= TRIES and probe is not None and self._answered == answered_before:
                    self._probe(probe, classify)
                seconds = time.monotonic() - started
                pause = random.uniform(0.5, 1) * next_pause
                next_pause = min(2 * next_pause, LONGEST_PAUSE_SECONDS)
                hopeless = refused > 1 or (
                    tries >= TRIES and self._is_hopeless(fault, answered_before, use_full_budget)
                )
                if hopeless or seconds + pause > BUDGET_SECONDS:
                    raise self._give_up(RetriesExhausted(error, tries, seconds)) from None
                time.sleep(pause) if during_shutdown else cancellation.sleep(pause)
            else:
                self._answer()
                return result
        raise AssertionError  # unreachable: the loop ends by return or raise

    def _is_hopeless(self, fault: FaultKind, answered_before: int, use_full_budget: bool) -> bool:
        """Return whether more tries are useless: S3 answers other requests, or its address was never reached."""
        if fault is FaultKind.UNREACHABLE and self._answered == 0:
            return True
        return self._answered > answered_before and not use_full_budget and fault is not FaultKind.THROTTLED

    def _probe(self, probe: Callable[[], object], classify: Callable[[Exception], FaultKind]) -> None:
        """Send a request when no other is in flight, to distinguish one broken object from an outage."""
        try:
            probe()
        except Exception as error:
            if classify(error) is not FaultKind.PERMANENT:
                return
        self._answer()

    def _answer(self) -> None:
        with self._lock:
            self._answered += 1
            self._given_up = 0

    def _give_up(self, error: RetriesExhausted) -> RetriesExhausted:
        with self._lock:
            self._given_up += 1
            self.last_error = error
        return error
