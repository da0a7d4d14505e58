"""The thread that reads `<out>` and writes verdicts into it, while people count."""

from __future__ import annotations

import json
import platform
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from reconcile.concurrency.background import Background
from reconcile.errors import ReconcileError, first_line
from reconcile.output.schemas import VERDICTS_SCHEMA
from reconcile.storage.base import FetchError
from reconcile.verdicts.queries import FOLDER

if TYPE_CHECKING:
    from pathlib import Path

    from reconcile.logs import RunLog
    from reconcile.output.store import Output
    from reconcile.recounting.journal import Journal, PlannedPart
    from reconcile.recounting.shift import Shift


PART_SECONDS = 3.0
"""The seconds between two parts of verdicts."""
LOOK_SECONDS = 15.0
"""The seconds between two looks for new runs, new verdicts and other servers."""
_SILENT_AFTER = timedelta(seconds=4 * LOOK_SECONDS)
"""A server whose file is older than that has ended."""
_PATIENCE_SECONDS = 10.0
"""The seconds that the last part may take when the server stops. The journal keeps what was not written."""
_COLUMNS = (
    "bin_id", "image_etag", "expected_quantity", "true_count", "counted_by", "entry_id", "withdraws", "sequence",
    "imported_at", "line",
)  # fmt: skip
_SERVERS = "recount/"


class Storing:
    """Keeps a shift and `<out>` in step.

    Args:
        output: `<out>`.
        journals: the journals of this process.
        shift: gets new runs and verdicts.
        scratch: a folder for downloads.
        log: gets problems, once each.
    """

    def __init__(self, output: Output, journals: list[Journal], shift: Shift, scratch: Path, log: RunLog) -> None:
        self._output, self._journals, self._shift, self._scratch, self._log = output, journals, shift, scratch, log
        self._server_key = f"{_SERVERS}server-{journals[0].name}.json"
        self._read_parts: set[str] = set()
        self._unreadable_runs: set[str] = set()
        self._sequence = 0
        self._is_ready = False
        self._problem: str | None = None
        self._written_claims: list[tuple[str, int, str]] | None = None
        self._claims_written = self._next_look = 0.0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.parts = self.verdicts = 0
        """The number of parts and of verdicts that this process has written."""

    def start(self) -> None:
        """Start the thread."""
        self._thread = Background("storing", self._work)

    def stop(self) -> None:
        """Write what waits, for a limited time, and end the thread."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(_PATIENCE_SECONDS)
        waiting = sum(len(journal.waiting) for journal in self._journals)
        if waiting:
            self._log.warn(f"{waiting:,} counts wait in the journal; the next start writes them to the verdicts")

    def _work(self) -> None:
        with suppress(KeyboardInterrupt):  # a request to stop, which retries raise in any thread
            self.step()
            while not self._ended.wait(PART_SECONDS):
                self.step()
            self.step()
            for journal in self._journals:
                journal.close()

    def step(self) -> None:
        """Read and write once. Problems are told to people and to the log, and the next step tries again."""
        try:
            if time.monotonic() >= self._next_look or not self._is_ready:
                self._look()
            self._write_parts()
            self._write_claims()
            problem = None
        except (ReconcileError, FetchError, OSError) as error:
            problem = first_line(error)
        except Exception as error:  # this thread must go on, because it alone writes verdicts
            problem = f"unexpected {type(error).__name__}: {first_line(error)}"
        if problem and problem != self._problem:
            self._log.warn(f"{problem}; counts wait in the journal")
        elif self._problem and not problem:
            self._log.info("the store answers again")
        self._problem = problem
        self._shift.set_problem(problem)

    def _look(self) -> None:
        self._read_verdicts()
        self._use_newest_run(self._output.finished_runs())
        self._read_other_servers()
        if not self._is_ready:
            self._shift.add_verdicts(row for journal in self._journals for row in journal.waiting)
            self._is_ready = True
        self._next_look = time.monotonic() + LOOK_SECONDS

    def _use_newest_run(self, runs: list[str]) -> None:
        """Use the newest run that can be read. An unreadable one must not keep counts from being written."""
        for run_id in [run_id for run_id in runs if run_id not in self._unreadable_runs]:
            try:
                return self._shift.use_newest_run(run_id)
            except ReconcileError as error:
                self._output.has_finished(run_id)  # this raises if the store itself is the problem
                self._unreadable_runs.add(run_id)
                self._log.warn(f"run {run_id} is left out: {error}")
        return self._shift.use_newest_run(None)

    def _read_verdicts(self) -> None:
        """Read the parts that were written since the last time, in the order of their imports."""
        rows: list[dict[str, Any]] = []
        for path in self._output.local_parts(FOLDER, self._scratch):
            if path in self._read_parts:
                continue
            self._read_parts.add(path)
            try:
                rows += _read_part(path)
            except (OSError, pa.ArrowException) as error:
                self._log.warn(f"{path} cannot be read and is left out: {first_line(error)}")
        rows.sort(key=lambda row: (row["sequence"] or 0, row["imported_at"], row["line"] or 0))
        self._sequence = max([self._sequence, *(row["sequence"] or 0 for row in rows)])
        self._shift.add_verdicts(rows)

    def _write_parts(self) -> None:
        for journal in self._journals:
            if journal.waiting:
                self._read_verdicts()  # another server or an import may have used the next sequence number
            part = journal.plan_part(lambda: self._sequence + 1)
            if part is not None:
                self._output.write_part(FOLDER, verdict_table(part), part.name)
                journal.finish_part(part)
                self._sequence = max(self._sequence, part.sequence)
                self.parts, self.verdicts = self.parts + 1, self.verdicts + len(part.rows)
        for journal in self._journals[1:]:
            if not journal.waiting:
                journal.discard()
                self._journals.remove(journal)

    def _write_claims(self) -> None:
        """Write the claims if they changed or are old. The time of the file also shows that this server runs."""
        claims = self._shift.claims_as_json()
        names = [(claim["run_id"], claim["number"], claim["device"]) for claim in claims]
        is_old = self._claims_written == 0.0 or time.monotonic() - self._claims_written > LOOK_SECONDS
        if names != self._written_claims or is_old:
            content = {"host": platform.node(), "written_at": datetime.now(UTC).isoformat(), "claims": claims}
            self._output.bucket.put(self._server_key, json.dumps(content, indent=1).encode())
            self._written_claims, self._claims_written = names, time.monotonic()

    def _read_other_servers(self) -> None:
        """Read the claims of other servers over the same `<out>`, and this server's claims from before a restart."""
        pages = self._output.bucket.list_pages(_SERVERS)
        files = {stored.key: stored for page in pages for stored in page if stored.key.endswith(".json")}
        own = files.pop(self._server_key, None)
        if not self._is_ready and own is not None:
            self._shift.restore_claims(self._read_server(self._server_key).get("claims"))
        if own is None:  # nothing to compare the times with yet
            return
        running = [key for key, stored in files.items() if own.modified - stored.modified < _SILENT_AFTER]
        others = [self._read_server(key) for key in running]
        claims = [claim for other in others for claim in other.get("claims") or []]
        self._shift.set_other_servers([str(other.get("host", "?")) for other in others], claims)

    def _read_server(self, key: str) -> dict[str, Any]:
        try:
            stored = self._output.bucket.read(key)
            content = json.loads(stored[1]) if stored is not None else {}
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}


def verdict_table(part: PlannedPart) -> pa.Table:
    """Return the rows of a part with the schema of the verdicts."""
    stamp = {"imported_at": part.imported_at, "sequence": part.sequence}
    rows = [
        row | stamp | {"line": line, "counted_at": datetime.fromisoformat(row["counted_at"])}
        for line, row in enumerate(part.rows, start=1)
    ]
    return pa.Table.from_pylist(rows, schema=VERDICTS_SCHEMA)


def _read_part(path: str) -> list[dict[str, Any]]:
    """Return the rows of a part with `_COLUMNS`. Older parts lack some of them."""
    with pq.ParquetFile(path) as file:
        names = [name for name in _COLUMNS if name in file.schema_arrow.names]
        rows: list[dict[str, Any]] = file.read(columns=names).to_pylist()
    return [dict.fromkeys(_COLUMNS) | row for row in rows]
