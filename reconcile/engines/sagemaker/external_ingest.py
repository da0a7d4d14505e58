"""`reconcile ingest`: takes up what a transform job answered that nobody here asked for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from reconcile.concurrency import cancellation
from reconcile.engines.sagemaker.job_store import ANSWER
from reconcile.engines.sagemaker.responses import parse_responses
from reconcile.errors import ReconcileError
from reconcile.output.schemas import COUNTS_SCHEMA
from reconcile.storage.base import FetchError

if TYPE_CHECKING:
    from reconcile.output.store import Output
    from reconcile.storage.base import Bucket, StoredObject


_PART_ROWS = 16_384
_NAMED = 20
"""Lines that are named one by one."""


@dataclass
class IngestResult:
    """What came of it."""

    rows: dict[str, int] = field(default_factory=dict)
    """Model id to its photos."""
    bad: list[str] = field(default_factory=list)
    """Lines that are no answers: where they are."""
    more_bad: int = 0
    """Those beyond the ones that are named."""


def ingest_responses(source: Bucket, output: Output) -> IngestResult:
    """Write every answer of every `.out` file to <out>/counts, under the model that it names.

    Parts are named after the file and its etag, so that a file that is ingested again replaces its own rows. One file
    at a time is in memory.

    Raises:
        ReconcileError: there is no such file, or one cannot be read, or <out> not be written.
        KeyboardInterrupt: somebody asked to stop; what is written stays.
    """
    taken, files = IngestResult(), 0
    for page in source.list_pages():
        for stored in page:
            if stored.key.endswith(ANSWER):
                files += 1
                _ingest(source, stored, output, taken)
    if not files:
        raise ReconcileError(f"there are no files that end in {ANSWER} in {source.location}")
    return taken


def _ingest(source: Bucket, stored: StoredObject, output: Output, taken: IngestResult) -> None:
    url = source.url(stored.key)
    try:
        lines = source.get(stored.key, stored.etag).splitlines()
    except FetchError as error:
        raise ReconcileError(f"{url}: {error}") from None
    digest = hashlib.sha256(f"{url} {stored.etag}".encode()).hexdigest()[:8]
    numbers = count()
    waiting: dict[str, list[dict[str, Any]]] = {}

    def write(model_id: str) -> None:
        rows = waiting.pop(model_id)
        name = f"{stored.modified:%Y%m%dT%H%M%S%fZ}-{digest}-{next(numbers):05d}"
        output.write_part(f"counts/{model_id}", pa.Table.from_pylist(rows, schema=COUNTS_SCHEMA), name)
        taken.rows[model_id] = taken.rows.get(model_id, 0) + len(rows)
        cancellation.raise_if_cancelled()

    for number, answer in parse_responses(lines):
        if answer is None:
            if len(taken.bad) < _NAMED:
                taken.bad.append(f"{url}, line {number}: this is no answer of reconcile serve to a key")
            else:
                taken.more_bad += 1
            continue
        rows = waiting.setdefault(answer.model_id, [])
        rows.append(answer.row)
        if len(rows) == _PART_ROWS:
            write(answer.model_id)
    for model_id in list(waiting):
        write(model_id)
