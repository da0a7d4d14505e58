"""What `reconcile doctor` finds: a line each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from reconcile.errors import ReconcileError
from reconcile.storage.base import FetchError

if TYPE_CHECKING:
    from collections.abc import Callable


Verdict = Literal["ok", "?", "FAIL"]
"""Good; not looked at, or a person has to judge; would stop a run."""


@dataclass(frozen=True)
class Finding:
    """One line of the screen."""

    subject: str
    verdict: Verdict
    text: str


def look(subject: str, check: Callable[[], str]) -> Finding:
    """What a check says, or why it fails."""
    try:
        return Finding(subject, "ok", check())
    except (ReconcileError, FetchError) as error:
        return Finding(subject, "FAIL", str(error))
