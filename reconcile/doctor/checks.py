"""One check and its result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from reconcile.errors import ReconcileError
from reconcile.storage.base import FetchError

if TYPE_CHECKING:
    from collections.abc import Callable


Status = Literal["ok", "?", "FAIL"]
"""Passed; not checked, or for a person to decide; would end a run."""


@dataclass(frozen=True)
class CheckResult:
    """The result of one check, which is one line on the screen."""

    subject: str
    """What was checked, such as "model"."""
    status: Status
    text: str
    """What the check found, or why it failed."""


def run_check(subject: str, check: Callable[[], str]) -> CheckResult:
    """Run a check.

    Args:
        subject: what is checked.
        check: returns what it found, or raises ReconcileError or FetchError.
    """
    try:
        return CheckResult(subject, "ok", check())
    except (ReconcileError, FetchError) as error:
        return CheckResult(subject, "FAIL", str(error))
