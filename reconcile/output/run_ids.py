"""The names of runs, and of the files in them."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path

SUMMARY = "summary.json"
RUN_FILES = (SUMMARY, "reconciled.parquet", "recount.csv", "report.html")
RUN_ID_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""A run's id becomes the name of a folder."""
_MONTH = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_REWRITTEN = re.compile(
    rf"\d{{1,4}}[-.](\d{{1,2}}|{_MONTH})([-.]\d{{1,4}})?|{_MONTH}[-.]?\d{{1,4}}|\d+e\d+|0\d+|\d{{16,}}", re.IGNORECASE
)
_ON_S3 = re.compile(rf"(s3://[^/]+(?:/.+)?)/runs/([^/]+)(?:/(?:{'|'.join(map(re.escape, RUN_FILES))})?)?")


def new_run_id() -> str:
    """The time, such as 20261123T021500.123Z: run ids sort by it."""
    now = datetime.now(UTC)
    return f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z"


def is_rewritten_by_spreadsheets(run_id: str) -> bool:
    """Whether a spreadsheet that opens recount.csv may write another id back: 24/11/2026 for 2026-11-24, 7 for 007."""
    return _REWRITTEN.fullmatch(run_id) is not None


def out_and_run_id(named: str) -> tuple[str | None, str]:
    """Where a run is, as far as its name says: the path of its folder or of a file in it is as good a name as its id.

    Returns:
        <out>, or None where only an id is named; and the id.
    """
    on_s3 = _ON_S3.fullmatch(named)
    if on_s3:
        return on_s3[1], on_s3[2]
    is_path = "/" in named and not named.startswith("s3://")
    if is_path or named == "." or named in RUN_FILES:
        there = Path(os.path.abspath(named))  # noqa: PTH100 – which follows no links
        for path in (there, there.resolve()):  # a folder, or what links lead to
            folder = path.parent if path.name in RUN_FILES else path
            if folder.parent.name == "runs":
                return str(folder.parent.parent), folder.name
    return None, named
