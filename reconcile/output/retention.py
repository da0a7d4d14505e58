"""`reconcile prune`: which runs and counts in <out> have grown old, and their removal.

A run goes summary first, so that what an interrupted prune leaves of it is a run that never finished: no report and no
history takes it for more, and the next prune removes it. Verdicts and records are never removed: verdicts are what
people found, and records (a few MB a year) are read again only where their objects change.
"""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from reconcile.logs import FixedWorkload
from reconcile.output.lock import run_lock
from reconcile.output.run_ids import RUN_FILES, RUN_ID_FORM, SUMMARY
from reconcile.output.store import PROBE
from reconcile.storage.base import FetchError
from reconcile.storage.bulk_delete import delete_objects
from reconcile.text import plural

if TYPE_CHECKING:
    from reconcile.logs import RunLog
    from reconcile.output.store import Output
    from reconcile.storage.base import StoredObject


_AT_ONCE = 16
_LEFT_OVER_AFTER = timedelta(days=1)
"""Of what an interrupted write left behind: no write takes so long, and no clock is so far off."""
_COUNTS_FORM = re.compile(r"(?:counts|transform/models)/([^/]+)/(?:part-[^/]+\.parquet|model\.tar\.gz)")
"""What is a model's own: its counts, and the archive in which it went to SageMaker."""


@dataclass(frozen=True)
class Removal:
    """What a prune removes."""

    lines: list[str]
    """What it is, for a person who is asked."""
    batches: list[list[StoredObject]]
    """What goes first, and what only when that is gone."""

    @property
    def objects(self) -> list[StoredObject]:
        """All of it."""
        return [stored for batch in self.batches for stored in batch]

    @property
    def in_words(self) -> str:
        """How much it is, such as 1,204 files, 1.2 GB."""
        return f"{plural(len(self.objects), 'file')}, {_size(self.objects)}"


class _Run(NamedTuple):
    """A folder under <out>/runs/, and what its summary says, where there is one that can be read."""

    run_id: str
    objects: list[StoredObject]
    started: datetime | None
    model_id: str | None

    @property
    def summary(self) -> StoredObject | None:
        """Only a finished run has one."""
        return next((stored for stored in self.objects if _name(stored) == SUMMARY), None)

    @property
    def ended(self) -> datetime:
        """When the last of it was written, by the store's clock; of a finished run, the summary."""
        return (self.summary or max(self.objects, key=lambda stored: stored.modified)).modified

    @property
    def age(self) -> tuple[datetime, str]:
        """What finished runs sort by; in a copy of <out> all files are new."""
        return self.started or self.ended, self.run_id


def plan_removal(output: Output, keep: int) -> Removal:
    """What is old in <out>; nothing is removed.

    Args:
        output: <out>.
        keep: how many of the finished runs stay, the newest ones.

    Raises:
        ReconcileError: it cannot be listed.
    """
    found = [stored for page in output.bucket.list_pages() for stored in page]
    runs = _runs(output, found)
    finished = sorted((run for run in runs if run.summary), key=lambda run: run.age)
    kept, old = finished[-keep:], finished[:-keep]
    # What was written after the last run that finished belongs to one that will be gone on with.
    last = max((run.ended for run in finished), default=datetime.min.replace(tzinfo=UTC))
    unfinished = [run for run in runs if not run.summary and run.ended < last]
    counts = _unused_counts(found, kept, last)
    probes = [stored for stored in found if stored.key.startswith(PROBE)]
    left = [stored for stored in (*probes, *output.bucket.incomplete_writes()) if _is_left_over(stored)]

    lines = []
    if old:
        times = " to ".join(f"{run.age[0]:%Y-%m-%d %H:%M}" for run in (old[0], old[-1]))
        lines.append(f"{len(old):,} of {plural(len(finished), 'finished run')}, {times}: {_size(_all(old))}")
    if unfinished:
        lines.append(f"{plural(len(unfinished), 'run')} that never finished: {_size(_all(unfinished))}")
    lines += [f"counts of model {model}, which no kept run used: {_size(parts)}" for model, parts in counts.items()]
    if left:
        lines.append(f"{plural(len(left), 'leftover')} of interrupted writes: {_size(left)}")
    of_runs = [[stored for stored in _all(old + unfinished) if _phase(stored) == turn] for turn in range(3)]
    return Removal(lines, [*of_runs, [part for parts in counts.values() for part in parts], left])


def apply_removal(output: Output, keep: int, told: Removal, messages: RunLog) -> Removal:
    """Remove what a person was told of, as far as it is still old now that nobody else is at work in <out>.

    Args:
        output: <out>.
        keep: as `find_old` was given it.
        told: what it found.
        messages: where progress and warnings go.

    Returns:
        what was removed.

    Raises:
        ReconcileError: a run is at work in <out>, or something cannot be removed; the next prune goes on.
    """
    with run_lock(output, None, messages.warn):
        keys = {stored.key for stored in told.objects}
        now = plan_removal(output, keep)
        removal = Removal(now.lines, [[stored for stored in batch if stored.key in keys] for batch in now.batches])
        with messages.progress("removing", FixedWorkload(len(removal.objects))) as advance:
            for batch in removal.batches:
                delete_objects(output.bucket, [stored.key for stored in batch], advance)
    return removal


def _runs(output: Output, found: list[StoredObject]) -> list[_Run]:
    """The folders under runs/ that a run wrote: they hold, besides what anybody else put there, one of its files."""
    folders: dict[str, list[StoredObject]] = {}
    for stored in found:
        top, _, rest = stored.key.partition("/")
        run_id, _, name = rest.partition("/")
        if top == "runs" and name and RUN_ID_FORM.fullmatch(run_id):
            folders.setdefault(run_id, []).append(stored)
    ours = {run_id: objects for run_id, objects in folders.items() if any(_is_ours(stored) for stored in objects)}

    def look(run_id: str) -> _Run:
        is_finished = any(_name(stored) == SUMMARY for stored in ours[run_id])
        return _Run(run_id, ours[run_id], *(_read_summary(output, run_id) if is_finished else (None, None)))

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(look, ours))


def _read_summary(output: Output, run_id: str) -> tuple[datetime | None, str | None]:
    """When a run started and the model that it used; None of what it does not say."""
    try:
        summary = json.loads(output.bucket.get(f"runs/{run_id}/{SUMMARY}"))
        started = datetime.fromisoformat(summary["started_at"])
        return started if started.tzinfo else started.replace(tzinfo=UTC), str(summary["model_id"])
    except (FetchError, ValueError, KeyError, TypeError):
        return None, None


def _unused_counts(found: list[StoredObject], kept: list[_Run], last: datetime) -> dict[str, list[StoredObject]]:
    """Model id to its parts, of the models that no kept run used; none where one does not say which it used."""
    used = {run.model_id for run in kept}
    if None in used or not kept:
        return {}
    parts: dict[str, list[StoredObject]] = {}
    for stored in found:
        if (part := _COUNTS_FORM.fullmatch(stored.key)) and part[1] not in used:
            parts.setdefault(part[1], []).append(stored)
    return {model: of_model for model, of_model in parts.items() if max(one.modified for one in of_model) < last}


def _is_left_over(stored: StoredObject) -> bool:
    return datetime.now(UTC) - stored.modified > _LEFT_OVER_AFTER


def _name(stored: StoredObject) -> str:
    """Of an object in a run's folder."""
    return stored.key.split("/", 2)[2]


def _is_ours(stored: StoredObject) -> bool:
    return _name(stored) in RUN_FILES


def _phase(stored: StoredObject) -> int:
    """The summary makes a run finished, and any other file of ours makes it a run: one goes first, the others last."""
    if _name(stored) == SUMMARY:
        return 0
    return 2 if _is_ours(stored) else 1


def _all(runs: list[_Run]) -> list[StoredObject]:
    return [stored for run in runs for stored in run.objects]


def _size(objects: list[StoredObject]) -> str:
    size = sum(stored.size for stored in objects) / 1e3
    for unit in ("kB", "MB"):
        if size < 1000:
            return f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"
