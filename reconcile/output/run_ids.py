"""Run ids and the files of a run."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path

SUMMARY = "summary.json"
RUN_FILES = (SUMMARY, "reconciled.parquet", "recount.csv", "recount.jsonl", "report.html")
RUN_ID_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""The form of a run id, which becomes the name of a folder."""
_MONTH = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_REWRITTEN = re.compile(
    rf"\d{{1,4}}[-.](\d{{1,2}}|{_MONTH})([-.]\d{{1,4}})?|{_MONTH}[-.]?\d{{1,4}}|\d+e\d+|0\d+|\d{{16,}}", re.IGNORECASE
)
_ON_S3 = re.compile(rf"(s3://[^/]+(?:/.+)?)/runs/([^/]+)(?:/(?:{'|'.join(map(re.escape, RUN_FILES))})?)?")


def new_run_id() -> str:
    """Return a new run id: the current time, such as `20261123T021500.123Z`. Run ids sort by time."""
    now = datetime.now(UTC)
    return f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z"


def is_rewritten_by_spreadsheets(run_id: str) -> bool:
    """Return whether a spreadsheet may change a run id in recount.csv: 2026-11-24 to 24/11/2026, or 007 to 7."""
    return _REWRITTEN.fullmatch(run_id) is not None


def out_and_run_id(name: str) -> tuple[str | None, str]:
    """Split the name of a run into `<out>` and a run id.

    Args:
        name: a run id, or the path of a run's folder or of a file in it.

    Returns:
        `<out>`, or None if the name is only a run id; and the run id.
    """
    on_s3 = _ON_S3.fullmatch(name)
    if on_s3:
        return on_s3[1], on_s3[2]
    is_path = "/" in name and not name.startswith("s3://")
    if is_path or name == "." or name in RUN_FILES:
        absolute = Path(os.path.abspath(name))  # noqa: PTH100 – abspath does not follow links
        for path in (absolute, absolute.resolve()):  # the path as named, then the target of its links
            folder = path.parent if path.name in RUN_FILES else path
            if folder.parent.name == "runs":
                return str(folder.parent.parent), folder.name
    return None, name
