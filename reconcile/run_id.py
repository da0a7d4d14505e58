"""The names of runs."""

from __future__ import annotations

import re
from datetime import UTC, datetime

RUN_ID_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""A run's id becomes the name of a folder."""
_IN_A_PATH = re.compile(r"(?:(?P<out>.*)/)?runs/(?P<run_id>[^/]+)(?:/[^/]*)?")
"""A run's folder in <out>, or a file in it."""


def new_run_id() -> str:
    """The time, such as 20261123T021500.123Z: run ids sort by it."""
    now = datetime.now(UTC)
    return f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z"


def out_and_run_id(named: str) -> tuple[str | None, str]:
    """Where a run is, as far as its name says: the path of its folder or report is as good a name as its id.

    Returns:
        <out>, or None where only the id is named; and the id.
    """
    path = _IN_A_PATH.fullmatch(named)
    return (path["out"] or ".", path["run_id"]) if path else (None, named)
