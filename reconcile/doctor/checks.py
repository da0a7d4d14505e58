"""What `reconcile doctor` finds: a line each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from reconcile.errors import ReconcileError
from reconcile.storage.base import FetchError

if TYPE_CHECKING:
    from collections.abc import Callable


Status = Literal["ok", "?", "FAIL"]
"""Good; not looked at, or a person has to judge; would stop a run."""


@dataclass(frozen=True)
class CheckResult:
    """One line of the screen."""

    subject: str
    status: Status
    text: str


def run_check(subject: str, check: Callable[[], str]) -> CheckResult:
    """What a check says, or why it fails."""
    try:
        return CheckResult(subject, "ok", check())
    except (ReconcileError, FetchError) as error:
        return CheckResult(subject, "FAIL", str(error))
