"""`reconcile prune`: plan and apply the removal of old runs and of their counts.

The summary of a run is removed first. If a prune is interrupted, the remaining files look like a run that never
finished. Reports and history ignore such a run, and the next prune removes it. Verdicts and records are never removed.
Verdicts are the counts of people, which cannot be computed again. Records take a few megabytes a year, and they are
read again only if their objects change. Files that wait in the inbox and rejected lines stay, too, because people have
to correct them. Copies of imported files go with the runs that imported them.
"""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from reconcile.logs import FixedWorkload
from reconcile.output.history import NOT_A_SUMMARY
from reconcile.output.lock import run_lock
from reconcile.output.run_ids import RUN_FILES, RUN_ID_FORM, SUMMARY
from reconcile.output.store import IMPORTED, PROBE
from reconcile.storage.base import FetchError
from reconcile.storage.bulk_delete import delete_objects
from reconcile.text import plural

if TYPE_CHECKING:
    from reconcile.logs import RunLog
    from reconcile.output.store import Output
    from reconcile.storage.base import StoredObject


_THREADS = 16
_LEFTOVER_AFTER = timedelta(days=1)
"""A partial file of this age is a leftover. No write takes so long, and no clock is wrong by so much."""
_COUNTS_FORM = re.compile(r"(?:counts|transform/models)/([^/]+)/(?:part-[^/]+\.parquet|model\.tar\.gz)")
"""Keys of files that belong to one model: its counts, and its archive for SageMaker. Group 1 is the model id."""


@dataclass(frozen=True)
class RemovalPlan:
    """The objects that a prune removes."""

    lines: list[str]
    """A description for the person who confirms the removal."""
    batches: list[list[StoredObject]]
    """The objects in batches. A batch is removed only after the previous batch was removed."""

    @property
    def objects(self) -> list[StoredObject]:
        """Return the objects of all batches."""
        return [stored for batch in self.batches for stored in batch]

    @property
    def size_text(self) -> str:
        """Return the number of files and their size, such as `1,204 files, 1.2 GB`."""
        return f"{plural(len(self.objects), 'file')}, {_size_text(self.objects)}"


class _Run(NamedTuple):
    """A run's folder under `<out>/runs/`."""

    run_id: str
    objects: list[StoredObject]
    started: datetime | None
    """From the summary, or None if there is no readable summary."""
    model_id: str | None
    """From the summary, or None if there is no readable summary."""

    @property
    def summary(self) -> StoredObject | None:
        """Return the summary, or None if the run never finished."""
        return next((stored for stored in self.objects if _name(stored) == SUMMARY), None)

    @property
    def ended(self) -> datetime:
        """Return the time of the summary or, in an unfinished run, of the newest file, by the store's clock."""
        return (self.summary or max(self.objects, key=lambda stored: stored.modified)).modified

    @property
    def sort_key(self) -> tuple[datetime, str]:
        """Return the key that sorts finished runs by age. File times are not used: copying `<out>` changes them."""
        return self.started or self.ended, self.run_id


def plan_removal(output: Output, keep: int) -> RemovalPlan:
    """Return the old objects in `<out>`. Nothing is removed yet.

    Args:
        output: `<out>`.
        keep: the number of finished runs to keep, the newest ones.

    Raises:
        ReconcileError: `<out>` cannot be listed.
    """
    listed = [stored for page in output.bucket.list_pages() for stored in page]
    runs = _find_runs(output, listed)
    finished = sorted((run for run in runs if run.summary), key=lambda run: run.sort_key)
    kept, old = finished[-keep:], finished[:-keep]
    # Everything newer than the last finished run stays, because a stopped run may continue with it.
    last = max((run.ended for run in finished), default=datetime.min.replace(tzinfo=UTC))
    unfinished = [run for run in runs if not run.summary and run.ended < last]
    counts = _unused_counts(listed, kept, last)
    imported = _imported_files(listed, old)
    probes = [stored for stored in listed if stored.key.startswith(PROBE)]
    leftovers = [stored for stored in (*probes, *output.bucket.incomplete_writes()) if _is_leftover(stored)]

    lines = []
    if old:
        times = " to ".join(f"{run.sort_key[0]:%Y-%m-%d %H:%M}" for run in (old[0], old[-1]))
        lines.append(
            f"{len(old):,} of {plural(len(finished), 'finished run')}, {times}: {_size_text(_objects_of(old))}"
        )
    if unfinished:
        lines.append(f"{plural(len(unfinished), 'run')} that never finished: {_size_text(_objects_of(unfinished))}")
    lines += [
        f"counts of model {model}, which no kept run used: {_size_text(parts)}" for model, parts in counts.items()
    ]
    if imported:
        lines.append(f"{plural(len(imported), 'imported file')} of the inbox: {_size_text(imported)}")
    if leftovers:
        lines.append(f"{plural(len(leftovers), 'leftover')} of interrupted writes: {_size_text(leftovers)}")
    phases = [[stored for stored in _objects_of(old + unfinished) if _phase(stored) == phase] for phase in range(3)]
    return RemovalPlan(lines, [*phases, [part for parts in counts.values() for part in parts], [*imported, *leftovers]])


def apply_removal(output: Output, keep: int, approved: RemovalPlan, log: RunLog) -> RemovalPlan:
    """Remove the objects of a plan that are still old while this process holds the lock of `<out>`.

    Args:
        output: `<out>`.
        keep: the number of finished runs to keep, as for `plan_removal`.
        approved: the plan that a person approved. Nothing else is removed.
        log: shows progress and warnings.

    Returns:
        the objects that were removed.

    Raises:
        ReconcileError: a run is working in `<out>`, or an object cannot be removed. The next prune continues.
    """
    with run_lock(output, None, log.warn):
        keys = {stored.key for stored in approved.objects}
        current = plan_removal(output, keep)
        batches = [[stored for stored in batch if stored.key in keys] for batch in current.batches]
        removal = RemovalPlan(current.lines, batches)
        with log.progress("removing", FixedWorkload(len(removal.objects))) as advance:
            for batch in removal.batches:
                delete_objects(output.bucket, [stored.key for stored in batch], advance)
    return removal


def _find_runs(output: Output, listed: list[StoredObject]) -> list[_Run]:
    """Return the folders under runs/ that hold at least one file of a run. Other folders belong to somebody else."""
    folders: dict[str, list[StoredObject]] = {}
    for stored in listed:
        top, _, rest = stored.key.partition("/")
        run_id, _, name = rest.partition("/")
        if top == "runs" and name and RUN_ID_FORM.fullmatch(run_id):
            folders.setdefault(run_id, []).append(stored)
    ours = {run_id: objects for run_id, objects in folders.items() if any(_is_run_file(stored) for stored in objects)}

    def read_run(run_id: str) -> _Run:
        is_finished = any(_name(stored) == SUMMARY for stored in ours[run_id])
        return _Run(run_id, ours[run_id], *(_read_summary(output, run_id) if is_finished else (None, None)))

    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(read_run, ours))


def _read_summary(output: Output, run_id: str) -> tuple[datetime | None, str | None]:
    """Return the start of a run and the id of its model, or None for both if the summary cannot be read."""
    try:
        summary = json.loads(output.bucket.get(f"runs/{run_id}/{SUMMARY}"))
        started = datetime.fromisoformat(summary["started_at"])
        return started if started.tzinfo else started.replace(tzinfo=UTC), str(summary["model_id"])
    except (FetchError, *NOT_A_SUMMARY):
        return None, None


def _unused_counts(listed: list[StoredObject], kept: list[_Run], last: datetime) -> dict[str, list[StoredObject]]:
    """Return the parts of each model that no kept run used, by model id.

    Counts that are newer than `last` stay. If a kept run does not state its model, all counts stay.
    """
    used = {run.model_id for run in kept}
    if None in used or not kept:
        return {}
    parts: dict[str, list[StoredObject]] = {}
    for stored in listed:
        if (part := _COUNTS_FORM.fullmatch(stored.key)) and part[1] not in used:
            parts.setdefault(part[1], []).append(stored)
    return {model: objects for model, objects in parts.items() if max(stored.modified for stored in objects) < last}


def _imported_files(listed: list[StoredObject], old: list[_Run]) -> list[StoredObject]:
    """Return the copies of files of verdicts that old runs imported. The verdicts themselves are kept elsewhere."""
    last = max((run.ended for run in old), default=datetime.min.replace(tzinfo=UTC))
    return [stored for stored in listed if stored.key.startswith(IMPORTED) and stored.modified < last]


def _is_leftover(stored: StoredObject) -> bool:
    return datetime.now(UTC) - stored.modified > _LEFTOVER_AFTER


def _name(stored: StoredObject) -> str:
    """Return the name of an object in a run's folder."""
    return stored.key.split("/", 2)[2]


def _is_run_file(stored: StoredObject) -> bool:
    return _name(stored) in RUN_FILES


def _phase(stored: StoredObject) -> int:
    """Return the number of the batch in which an object of a run is removed: 0 first, 2 last.

    Without its summary, a run counts as unfinished. As long as it has another file of a run, the next prune finds it.
    """
    if _name(stored) == SUMMARY:
        return 0
    return 2 if _is_run_file(stored) else 1


def _objects_of(runs: list[_Run]) -> list[StoredObject]:
    return [stored for run in runs for stored in run.objects]


def _size_text(objects: list[StoredObject]) -> str:
    size = sum(stored.size for stored in objects) / 1e3
    for unit in ("kB", "MB"):
        if size < 1000:
            return f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"
