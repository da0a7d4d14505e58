"""Import the files of verdicts that people and other systems put into `<out>/inbox/`.

A file leaves the inbox after its verdicts are stored: verdicts/ gets its valid lines, inbox/rejected/ its invalid ones,
and inbox/imported/ the file itself. A run that is killed in between repeats these steps. The digest of the file's
content then shows which lines are stored already.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from reconcile.errors import ReconcileError, UsageError, first_line
from reconcile.inputs.tables.formats import format_of_name
from reconcile.output.store import IMPORTED, INBOX, REJECTED
from reconcile.storage.base import FetchError
from reconcile.storage.open import file_ending
from reconcile.verdicts.importing import InboxFile, import_verdicts
from reconcile.verdicts.rejected import rejected_csv

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconcile.output.store import Output
    from reconcile.storage.base import StoredObject


_UNFINISHED = (".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".download", ".swp", "~")
"""The endings that programs give to files which they are still writing."""
_OF_SYSTEMS = (".", "~$", "~lock", "__macosx", "thumbs.db", "desktop.ini")
"""The starts of names that operating systems and spreadsheets give to their own files and folders."""
_SETTLED_SECONDS = 5.0
"""A file in a folder may still be written if it changed within this time. On S3, every object is complete."""
_MOST_BYTES = 64 * 1024 * 1024
_OTHER_TYPE = "its type is unknown; save it as CSV or as a workbook (.xlsx, .ods), or remove it"
_CHANGING = "it is still being written, so the next run imports it"
_DIGEST_LETTERS = 32


@dataclass(frozen=True)
class InboxListing:
    """The files in the inbox that a run has not imported yet."""

    tables: list[StoredObject]
    """Files to import, the oldest first, so that the verdict of the newest file is used."""
    others: list[str]
    """Names of files of other types."""


@dataclass(frozen=True)
class InboxResult:
    """What became of one file in the inbox."""

    file: str
    """The name of the file, relative to the inbox."""
    imported: int = 0
    """Verdicts that were stored."""
    known: int = 0
    """Lines that were stored before."""
    rejected: int = 0
    """Lines that are not valid."""
    rejected_file: str | None = None
    """The location of the rejected lines, or of the file if it was rejected as a whole."""
    problem: str | None = None
    """Why the file as a whole was rejected, or why it stays in the inbox."""
    reasons: tuple[str, ...] = ()
    """One sentence per reason, with the numbers of the rejected lines."""

    @property
    def is_rejected(self) -> bool:
        """Return whether the file was rejected as a whole."""
        return self.problem is not None and self.rejected_file is not None and not self.rejected


def list_inbox(output: Output) -> InboxListing:
    """List the inbox, without files that are still being written under another name.

    Raises:
        ReconcileError: the inbox cannot be listed.
    """
    listed = [stored for page in output.bucket.list_pages(INBOX) for stored in page if _is_waiting(stored.key)]
    tables = [stored for stored in listed if format_of_name(stored.key) is not None]
    others = [_name(stored) for stored in listed if format_of_name(stored.key) is None]
    return InboxListing(sorted(tables, key=lambda stored: (stored.modified, stored.key)), others)


def import_inbox(output: Output, work: Path, before_each: Callable[[], None]) -> list[InboxResult]:
    """Import the files in the inbox. A file that cannot be imported never prevents the import of the others.

    Args:
        output: holds the inbox, and receives the verdicts.
        work: a folder for copies, which is created if there are files.
        before_each: called before each file. It may raise an error to stop.

    Returns:
        what became of each file.
    """
    try:
        listing, settled = _settled(output)
    except ReconcileError as error:
        return [InboxResult(INBOX, problem=f"it cannot be listed: {error}")]
    results = []
    for stored in listing.tables:
        before_each()
        if stored not in settled:
            results.append(InboxResult(_name(stored), problem=_CHANGING))
            continue
        try:
            results.append(_import_file(output, stored, work))
        except (ReconcileError, FetchError) as error:
            results.append(InboxResult(_name(stored), problem=f"the next run tries it again: {error}"))
        except Exception as error:  # a file that nobody has foreseen must not cost the run
            results.append(InboxResult(_name(stored), problem=f"the next run tries it again: {first_line(error)}"))
    return results + [InboxResult(name, problem=_OTHER_TYPE) for name in listing.others]


def _is_waiting(key: str) -> bool:
    name = key.removeprefix(INBOX).lower()
    is_ours = key.startswith((IMPORTED, REJECTED))
    is_of_system = any(part.startswith(_OF_SYSTEMS) for part in name.split("/"))
    return not is_ours and not is_of_system and not name.endswith(_UNFINISHED)


def _name(stored: StoredObject) -> str:
    return stored.key.removeprefix(INBOX)


def _settled(output: Output) -> tuple[InboxListing, set[StoredObject]]:
    """List the inbox. Wait until the youngest file in a folder had time to change again.

    Returns:
        the listing, and those of its tables that are complete.
    """
    first = list_inbox(output)
    if not first.tables or output.bucket.local_path(INBOX) is None:
        return first, set(first.tables)
    age = (datetime.now(UTC) - max(stored.modified for stored in first.tables)).total_seconds()
    if age >= _SETTLED_SECONDS:
        return first, set(first.tables)
    time.sleep(min(_SETTLED_SECONDS, _SETTLED_SECONDS - age))
    later = list_inbox(output)
    return later, {*first.tables} & {*later.tables}


def _import_file(output: Output, stored: StoredObject, work: Path) -> InboxResult:
    name = _name(stored)
    if stored.size > _MOST_BYTES:
        limit = f"{_MOST_BYTES // 1024**2} MB"
        return InboxResult(name, problem=f"it is larger than {limit}; import it with reconcile verdicts import")
    data = output.bucket.get(stored.key, stored.etag)
    work.mkdir(exist_ok=True)
    path = work / f"inbox{file_ending(stored.key)}"
    path.write_bytes(data)
    try:
        digest = hashlib.sha256(data).hexdigest()[:_DIGEST_LETTERS]
        done = import_verdicts(path, output, work, inbox_file=InboxFile(name, digest))
    except UsageError as error:
        rejected = _keep(output, REJECTED, name, data)
        output.bucket.put(f"{rejected}.why.txt", f"{error}\n".encode())
        _remove(output, stored)
        return InboxResult(name, problem=str(error), rejected_file=output.bucket.url(rejected))
    result = InboxResult(name, done.imported, done.known, len(done.invalid), reasons=tuple(done.reasons))
    try:
        if done.invalid:
            csv_name = name if name.lower().endswith(".csv") else f"{name}.csv"
            rejected = _keep(output, REJECTED, csv_name, rejected_csv(path, done.invalid, work))
            result = replace(result, rejected_file=output.bucket.url(rejected))
        _keep(output, IMPORTED, name, data)
        _remove(output, stored)
    except (ReconcileError, FetchError) as error:
        return replace(result, problem=f"its verdicts are stored, but it stays in the inbox: {error}")
    return result


def _keep(output: Output, folder: str, name: str, data: bytes) -> str:
    """Write a file under its name, or under `name-2.csv` and so on if another file has that name.

    Returns:
        the key. If the same content was kept before, this is its key.
    """
    path = PurePosixPath(name)
    for number in count(2):
        key = f"{folder}{path}"
        existing = output.bucket.read(key)
        if existing is None:
            output.bucket.put(key, data)
        if existing is None or existing[1] == data:
            return key
        path = PurePosixPath(name).with_name(f"{PurePosixPath(name).stem}-{number}{PurePosixPath(name).suffix}")
    raise AssertionError  # count() never ends


def _remove(output: Output, stored: StoredObject) -> None:
    """Remove a file from the inbox, unless somebody has replaced it meanwhile. The next run then imports it."""
    current = output.bucket.read(stored.key)
    if current is not None and current[0].etag == stored.etag:
        output.bucket.delete(stored.key)
