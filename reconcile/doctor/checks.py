"""One check and its result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from reconcile.errors import ReconcileError
from reconcile.storage.base import FetchError

if TYPE_CHECKING:
    from collections.abc import Callable


Status = Literal["ok", "?", "FAIL"]
"""`ok`: passed. `?`: not checked, or a person has to decide. `FAIL`: a run would end with this error."""


@dataclass(frozen=True)
class CheckResult:
    """The result of one check, which is one line on the screen."""

    subject: str
    """The subject of the check, such as "model"."""
    status: Status
    text: str
    """The result of the check, or the reason why it failed."""


def run_check(subject: str, check: Callable[[], str]) -> CheckResult:
    """Run a check.

    Args:
        subject: the subject of the check, such as "model".
        check: returns the result as text, or raises ReconcileError or FetchError.
    """
    try:
        return CheckResult(subject, "ok", check())
    except (ReconcileError, FetchError) as error:
        return CheckResult(subject, "FAIL", str(error))
