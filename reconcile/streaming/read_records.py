"""JSON records are read in threads of their own while photos are counted: where one waits, the other works."""

from __future__ import annotations

from concurrent.futures import Future, wait
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from reconcile.concurrency import cancellation
from reconcile.concurrency.background import Background
from reconcile.concurrency.cancellation import Interrupted
from reconcile.concurrency.channels import PATIENCE_SECONDS, Channel, StageGroup, Stopped
from reconcile.inputs.bin_ids import bin_id
from reconcile.inputs.records_json import MAX_RECORD_BYTES, InvalidRecord, parse_abid_record
from reconcile.output.schemas import RECORDS_SCHEMA
from reconcile.storage.base import FetchError
from reconcile.storage.retry import GRACE_SECONDS
from reconcile.streaming.fetch import Fetched, start_fetching
from reconcile.streaming.observers import log_stage
from reconcile.streaming.write_parts import write_rows

if TYPE_CHECKING:
    from reconcile.inputs.backlog import Backlog
    from reconcile.logs import RunLog
    from reconcile.output.store import Output
    from reconcile.storage.base import Bucket
    from reconcile.streaming.write_parts import StageResult


STAGE = "records"


class RecordReader:
    """Reads every JSON record and writes it to `<out>/records/`, in the same way as images are counted."""

    def __init__(
        self,
        bucket: Bucket,
        records: Backlog,
        output: Output,
        messages: RunLog,
    ) -> None:
        """Begin.

        Args:
            bucket: where the records lie.
            records: which to read; it may still be filling.
            output: where the parts go.
            messages: told how far it is, what could not be had or read, and how it ended, by another thread.
        """
        self._outcome: Future[StageResult] = Future()
        self._is_awaited = False
        self._stages = StageGroup()
        fetched = start_fetching(self._stages, bucket, records, _check_size)
        rows: Channel[list[dict[str, Any]]] = Channel(self._stages, 64, 1)
        self._stages.start("read", 1, lambda _: _read(fetched, rows), rows)
        Background("write-records", self._write, rows, records, output, messages)

    def _write(self, rows: Channel[list[dict[str, Any]]], records: Backlog, output: Output, messages: RunLog) -> None:
        try:
            with self._stages, log_stage(messages, "reading records", records, "records", STAGE) as observer:
                read = write_rows(rows, output, "records", RECORDS_SCHEMA, observer)
            messages.info(
                f"{read.objects:,} new records read in {read.seconds:.1f} s, {read.failed:,} could not be read",
                stage=STAGE,
                read=read.objects,
                invalid=read.failed,
                seconds=round(read.seconds, 2),
            )
            self._outcome.set_result(read)
        except BaseException as error:  # it belongs to the thread that waits
            if isinstance(error, Exception) and not isinstance(error, Stopped) and not self._is_awaited:
                # Hours may pass before anybody waits, and photos that are counted meanwhile are not lost.
                messages.warn(f"no more records are read, and the run will fail: {error}", stage=STAGE)
            self._outcome.set_exception(error)

    def wait(self) -> StageResult:
        """Wait for the last record.

        Returns:
            how many records there were, and how long they took; each has a row, read or with a reason.

        Raises:
            ReconcileError: the output cannot be written, or the listing broke.
            KeyboardInterrupt: somebody asked this process to stop.
        """
        self._is_awaited = True
        return cancellation.wait_for(self._outcome)

    def stop(self) -> int | None:
        """End early; what has been read is written first.

        Returns:
            how many records this was, where somebody asked this process to stop before all of them were read.
        """
        self._stages.stop()
        with cancellation.deferred():
            patience = 0 if cancellation.is_forced() else GRACE_SECONDS + PATIENCE_SECONDS
            if not wait([self._outcome], patience).done:
                return None
        error = self._outcome.exception()
        return error.kept if isinstance(error, Interrupted) else None


def _check_size(byte_count: int) -> None:
    if byte_count > MAX_RECORD_BYTES:
        raise InvalidRecord(
            f"{byte_count / 2**20:.0f} MB, over the limit of {MAX_RECORD_BYTES // 2**20} MB for a record"
        )


def _read(fetched: Channel[Fetched], rows: Channel[list[dict[str, Any]]]) -> None:
    for item in fetched:
        row: dict[str, Any] = {
            "record_key": item.stored.key,
            "etag": item.stored.etag,
            "bin_id": bin_id(item.stored.key),
            "try_again": isinstance(item.error, FetchError),
            "read_at": datetime.now(UTC),
        }
        try:
            if item.error is not None:
                raise item.error
            record = parse_abid_record(item.data)
            row |= {"expected_quantity": record.expected_quantity, "items": record.items, "note": record.note}
        except (FetchError, InvalidRecord) as error:
            row["reason"] = str(error)
        rows.put([row])
