"""A shift: the run whose queue people count, who counts what, and what they found."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from reconcile.recounting.claims import Claims
from reconcile.recounting.progress import Progress, SecondCounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from reconcile.recounting.journal import Journal
    from reconcile.recounting.queue import RecountRun


_MOST_RUNS = 3
"""The runs in memory. Phones without a network may still send taps on earlier ones."""
_WAIT_SECONDS = 20.0
"""The seconds for which taps may wait in the journal before people hear of it."""


class Person(NamedTuple):
    """Who sends a request, and from which phone."""

    device: str
    who: str


@dataclass(frozen=True)
class Rules:
    """What the lead decided at the start."""

    is_open: bool
    """Whether people see the record before they count."""
    second_counts: bool
    tolerance: int | None
    """Items by which a count may differ from the record without a second count; None for the tolerance of the run."""
    reasons: tuple[str, ...]


class Shift:
    """The state that all phones share. All methods may be called from several threads.

    Args:
        rules: what the lead decided.
        journal: keeps the taps.
        load_run: reads the queue of a run, or returns None if there is no such run. It raises ReconcileError if the
            store cannot be reached.
    """

    def __init__(self, rules: Rules, journal: Journal, load_run: Callable[[str], RecountRun | None]) -> None:
        self.rules = rules
        self.epoch = secrets.token_hex(4)
        """Names this process. The versions of `poll` belong to it."""
        self._journal, self._load_run = journal, load_run
        self.lock, self._loading = threading.Lock(), threading.Lock()
        """`lock` guards `progress` and `claims`."""
        self.progress, self.claims = Progress(), Claims()
        self._runs: dict[str, RecountRun] = {}
        self._newest: str | None = None
        self._has_looked = False
        self._problem: str | None = None
        self._waiting_since: float | None = None
        self._other_servers: list[str] = []

    def use_newest_run(self, run_id: str | None) -> None:
        """Make the newest finished run the one that people count. The next poll of each phone tells.

        Raises:
            ReconcileError: the run cannot be read. The run before stays.
        """
        if run_id is not None and run_id not in self._runs:
            self._load(run_id)
        with self.lock:
            self._has_looked = True
            if run_id is not None:
                self._newest = run_id

    def _load(self, run_id: str) -> RecountRun | None:
        with self._loading:
            if run_id in self._runs:
                return self._runs[run_id]
            run = self._load_run(run_id)
            with self.lock:
                if run is not None:
                    self._runs[run_id] = run
                    for old in [old for old in self._runs if old not in (run_id, self._newest)][: -_MOST_RUNS + 1]:
                        del self._runs[old]
            return run

    def add_verdicts(self, rows: Iterable[dict[str, Any]]) -> None:
        """Add verdicts from the parts of `<out>`, or from the journal of an earlier process."""
        with self.lock:
            self.progress.add(rows)

    def set_problem(self, problem: str | None) -> None:
        """Set why the store cannot be reached, or None if it can."""
        with self.lock:
            self._problem = problem

    def set_other_servers(self, hosts: list[str], claims: Any) -> None:
        """Set which other servers work on the same `<out>`, and their claims."""
        with self.lock:
            self._other_servers = hosts
            self.claims.set_others(claims)

    def restore_claims(self, claims: Any) -> None:
        """Take over the claims from before a restart."""
        with self.lock:
            self.claims.restore(claims)

    def claims_as_json(self) -> list[dict[str, Any]]:
        """Return the claims of this server."""
        with self.lock:
            return self.claims.as_json()

    def newest_run(self) -> RecountRun | None:
        """Return the run that people count, or None if no run has finished yet."""
        with self.lock:
            return None if self._newest is None else self._runs[self._newest]

    def known_run(self, run_id: str) -> RecountRun | None:
        """Return a run that is in memory, or None."""
        with self.lock:
            return self._runs.get(run_id)

    def find_run(self, run_id: str) -> RecountRun | None:
        """Return a run from memory or from `<out>`, or None if there is no such run.

        Raises:
            ReconcileError: the store cannot be reached.
        """
        return self.known_run(run_id) or self._load(run_id)

    def rule(self, run: RecountRun) -> SecondCounts:
        """Return the rule for second counts of a run."""
        tolerance = run.tolerance if self.rules.tolerance is None else self.rules.tolerance
        return SecondCounts(self.rules.second_counts, tolerance)

    def notices(self) -> list[str]:
        """Return what people should know, one line each. The caller holds `lock`."""
        notices = []
        waiting = len(self._journal.waiting)
        now = time.monotonic()
        self._waiting_since = (self._waiting_since or now) if waiting else None
        is_late = self._waiting_since is not None and now - self._waiting_since > _WAIT_SECONDS
        if self._newest is None and not self._problem and self._has_looked:
            notices.append("No run has finished yet. This page continues as soon as one has.")
        if self._problem and waiting:
            notices.append(f"The store does not answer: {waiting} counts are safe on the server. Keep counting.")
        elif self._problem:
            notices.append("The store does not answer. Keep counting: the server keeps every count.")
        elif is_late:
            notices.append(f"{waiting} counts are safe on the server and wait for the store. Keep counting.")
        if self._other_servers:
            notices.append("Two servers work on these results. A bin may be counted twice; no count is lost.")
        return notices
