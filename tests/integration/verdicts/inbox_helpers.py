"""Functions that put files of verdicts into <out>/inbox/ and import them."""

import csv
import os
from pathlib import Path

from reconcile.output.store import Output
from reconcile.storage.base import S3Access
from reconcile.storage.open import open_bucket
from reconcile.verdicts.inbox import import_inbox
from reconcile.verdicts.queries import verdict_table

HEADER = "bin_id,run_id,true_count,note"


def drop(name: str, content: str | bytes = "", age: float = 3600) -> Path:
    """Put a file into the inbox, as if it had been there for some seconds."""
    path = Path("out/inbox", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    settle(path, age)
    return path


def settle(path: Path, age: float = 3600) -> None:
    before = path.stat().st_mtime - age
    os.utime(path, (before, before))


def import_now(tmp_path, out="out"):
    """Import the inbox in this process. Return the result of each file."""
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    return {result.file: result for result in import_inbox(open_out(out), work, lambda: None)}


def open_out(out="out"):
    return Output(open_bucket(f"./{out}", S3Access()))


def verdicts(tmp_path) -> dict[str, int]:
    """Return the true count of each bin with a verdict."""
    table = verdict_table(open_out(), tmp_path)
    return dict(zip(table["bin_id"], table["true_count"].astype(int), strict=True))


def files_in_inbox(out="out") -> set[str]:
    folder = Path(out, "inbox")
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def read_csv(path) -> list[list[str]]:
    with Path(path).open(newline="", encoding="utf-8-sig") as file:
        return list(csv.reader(file))
