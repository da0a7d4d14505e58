"""Stage 2 for records: parse JSON records in their own threads while photos are counted.

Reading waits for the network and counting waits for the model, so each works while the other waits.
"""

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


_STAGE = "records"


class RecordReader:
    """The threads that read every JSON record and write it to `<out>/records/`."""

    def __init__(self, source: Bucket, records: Backlog, output: Output, log: RunLog) -> None:
        """Start reading.

        Args:
            source: the bucket of the records.
            records: the records to read. The backlog may still be filling.
            output: where the Parquet parts are written.
            log: gets the progress, each record that fails, and the result. Another thread writes to it.
        """
        self._outcome: Future[StageResult] = Future()
        self._is_awaited = False
        self._stages = StageGroup()
        fetched = start_fetching(self._stages, source, records, _check_size)
        rows: Channel[list[dict[str, Any]]] = Channel(self._stages, 64, 1)
        self._stages.start("read", 1, lambda _: _read(fetched, rows), rows)
        Background("write-records", self._write, rows, records, output, log)

    def _write(self, rows: Channel[list[dict[str, Any]]], records: Backlog, output: Output, log: RunLog) -> None:
        """Write all rows, and hand the result or the error to the thread that waits."""
        try:
            with self._stages, log_stage(log, "reading records", records, "records", _STAGE) as observer:
                result = write_rows(rows, output, "records", RECORDS_SCHEMA, observer)
            log.info(
                f"{result.objects:,} new records read in {result.seconds:.1f} s, {result.failed:,} could not be read",
                stage=_STAGE,
                read=result.objects,
                invalid=result.failed,
                seconds=round(result.seconds, 2),
            )
            self._outcome.set_result(result)
        except BaseException as error:  # the waiting thread raises it
            if isinstance(error, Exception) and not isinstance(error, Stopped) and not self._is_awaited:
                # Counting continues and its counts are kept. It may be hours before a thread waits for the records.
                log.warn(f"reading records stopped, and the run will fail: {error}", stage=_STAGE)
            self._outcome.set_exception(error)

    def wait(self) -> StageResult:
        """Wait for the last record.

        Returns:
            the number of records and the time. Each record has one row, with its data or a reason.

        Raises:
            ReconcileError: the output cannot be written, or the listing failed.
            KeyboardInterrupt: somebody asked this process to stop.
        """
        self._is_awaited = True
        return cancellation.wait_for(self._outcome)

    def stop(self) -> int | None:
        """Stop early, and write the records that have been read.

        Returns:
            the number of records that are kept, if somebody asked this process to stop before all were read; else
            None.
        """
        self._stages.stop()
        with cancellation.deferred():
            seconds = 0 if cancellation.is_forced() else GRACE_SECONDS + PATIENCE_SECONDS
            if not wait([self._outcome], seconds).done:
                return None
        error = self._outcome.exception()
        return error.kept if isinstance(error, Interrupted) else None


def _check_size(byte_count: int) -> None:
    if byte_count > MAX_RECORD_BYTES:
        raise InvalidRecord(
            f"{byte_count / 2**20:.0f} MB, over the limit of {MAX_RECORD_BYTES // 2**20} MB for a record"
        )


def _read(fetched: Channel[Fetched], rows: Channel[list[dict[str, Any]]]) -> None:
    """Parse fetched records into rows, until no more come."""
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
        item.release()
        rows.put([row])
