"""When to ask S3 again, for how long, and when to stop asking at all.

obstore and boto3 are told to repeat nothing that is read, so that one budget holds for all that can go wrong: an error,
a broken connection, a body that ends half way, a stall.
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
"""How long one request is repeated while S3 answers nobody or asks to slow down: a shorter outage costs only time."""
TRIES = 6
"""How often one request is made while S3 answers others: the fault may be the object's own."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 10.0
"""Before the second try, and at most; pauses double, and each is cut by up to half at random."""
GIVEN_UP_IN_A_ROW = 16
"""Requests given up, with none answered in between, after which S3 is taken to be down."""
GRACE_SECONDS = 10.0
"""How long a write may still take when somebody asks to stop: what was counted would be lost with it."""
_LOOK_UP_SECONDS = 0.5
T = TypeVar("T")


class FaultKind(Enum):
    """What a failure says of the next try."""

    PERMANENT = auto()
    """S3 has answered, and would again: not there, not allowed."""
    TRANSIENT = auto()
    """A server error, or a connection that broke or stalled."""
    UNREACHABLE = auto()
    """There was no connection."""
    THROTTLED = auto()
    """S3 asks to slow down."""
    CREDENTIALS = auto()
    """They have expired or are not accepted: worth one try with fresh ones."""


class RetriesExhausted(Exception):
    """A request that was repeated in vain."""

    def __init__(self, error: Exception, tries: int, seconds: float) -> None:
        super().__init__(str(error))
        self.error = error
        """What the last try came to."""
        self.effort = f"{tries} tries in {seconds:.0f} s" if tries > 1 else "1 try"


class Retries:
    """The requests to one bucket, from all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answered = 0
        self._given_up = 0
        self.last_error: RetriesExhausted | None = None
        """Of the request that was given up last."""

    @property
    def has_answered(self) -> bool:
        """Whether any request was answered yet."""
        return self._answered > 0

    @property
    def circuit_is_open(self) -> bool:
        """Whether so many requests in a row were given up that S3, and no object, must be the cause."""
        return self._given_up >= GIVEN_UP_IN_A_ROW

    def call(
        self,
        request: Callable[[], T],
        fault_of: Callable[[Exception], FaultKind],
        *,
        use_full_budget: bool,
        during_shutdown: bool = False,
        probe: Callable[[], object] | None = None,
    ) -> T:
        """Make a request, again and again where that helps.

        Args:
            request: makes it once.
            fault_of: what an exception of it means.
            probe: another request, made to see whether S3 answers at all where nobody else has asked meanwhile.
            use_full_budget: use the whole budget even while S3 answers others, since the run ends without this answer.
            during_shutdown: go on for a while when somebody asks to stop, or has asked already.

        Raises:
            RetriesExhausted: it failed until the budget was used up.
            Exception: what `request` raised, where that is lasting.
            KeyboardInterrupt: somebody asked the process to stop.
        """
        repeat = partial(self._repeat, request, fault_of, use_full_budget, during_shutdown, probe)
        if threading.current_thread() is not threading.main_thread():
            return repeat()
        return run_in_background(repeat, GRACE_SECONDS if during_shutdown else 0)

    def _repeat(
        self,
        request: Callable[[], T],
        fault_of: Callable[[Exception], FaultKind],
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
                fault = fault_of(error)
                if fault is FaultKind.PERMANENT:
                    self._answer()
                    raise
                refused += fault is FaultKind.CREDENTIALS
                if tries == 1:  # those that were answered while S3 still worked say nothing of an outage
                    answered_before = self._answered
                elif tries >= TRIES and probe is not None and self._answered == answered_before:
                    self._probe(probe, fault_of)
                seconds = time.monotonic() - started
                pause = random.uniform(0.5, 1) * next_pause
                next_pause = min(2 * next_pause, LONGEST_PAUSE_SECONDS)
                enough = refused > 1 or (tries >= TRIES and self._is_in_vain(fault, answered_before, use_full_budget))
                if enough or seconds + pause > BUDGET_SECONDS:
                    raise self._give_up(RetriesExhausted(error, tries, seconds)) from None
                time.sleep(pause) if during_shutdown else _wait(pause)
            else:
                self._answer()
                return result
        raise AssertionError  # the loop has no end of its own

    def _is_in_vain(self, fault: FaultKind, answered_before: int, use_full_budget: bool) -> bool:
        """Whether S3 answers others meanwhile; or has never been reached, so that the address may be wrong."""
        if fault is FaultKind.UNREACHABLE and self._answered == 0:
            return True
        return self._answered > answered_before and not use_full_budget and fault is not FaultKind.THROTTLED

    def _probe(self, probe: Callable[[], object], fault_of: Callable[[Exception], FaultKind]) -> None:
        """At the end of a night nobody is left but objects that fail: whether S3 answers others has to be asked."""
        try:
            probe()
        except Exception as error:
            if fault_of(error) is not FaultKind.PERMANENT:
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


def _wait(seconds: float) -> None:
    """Sleep, and wake for somebody who asks to stop."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        cancellation.raise_if_cancelled()
        time.sleep(min(left, _LOOK_UP_SECONDS))
