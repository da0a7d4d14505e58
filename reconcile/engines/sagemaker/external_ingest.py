"""`reconcile ingest`: import the responses of a job that was started elsewhere."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from reconcile.concurrency import cancellation
from reconcile.engines.sagemaker.job_store import RESPONSE_SUFFIX
from reconcile.engines.sagemaker.responses import parse_responses
from reconcile.errors import ReconcileError
from reconcile.output.schemas import COUNTS_SCHEMA
from reconcile.storage.base import FetchError

if TYPE_CHECKING:
    from reconcile.output.store import Output
    from reconcile.storage.base import Bucket, StoredObject


_PART_ROWS = 16_384
_MAX_LISTED = 20
"""The number of invalid lines that are listed."""


@dataclass
class IngestResult:
    """The number of imported rows, and the invalid lines."""

    rows: dict[str, int] = field(default_factory=dict)
    """Model id to the number of its photos."""
    invalid_lines: list[str] = field(default_factory=list)
    """One sentence for each of the first invalid lines."""
    more_invalid: int = 0
    """The number of further invalid lines."""


def ingest_responses(source: Bucket, output: Output) -> IngestResult:
    """Write every response of every `.out` file to <out>/counts, under the model that the response names.

    Parts are named after the file and its ETag. So a file that is ingested again replaces its own rows. One file at a
    time is in memory.

    Raises:
        ReconcileError: there is no such file, a file cannot be read, or <out> cannot be written.
        KeyboardInterrupt: somebody asked this process to stop. Written parts stay.
    """
    result, files = IngestResult(), 0
    for page in source.list_pages():
        for stored in page:
            if stored.key.endswith(RESPONSE_SUFFIX):
                files += 1
                _ingest_file(source, stored, output, result)
    if not files:
        raise ReconcileError(
            f"{source.location} has no {RESPONSE_SUFFIX} files; name the folder that the transform job writes to"
        )
    return result


def _ingest_file(source: Bucket, stored: StoredObject, output: Output, result: IngestResult) -> None:
    """Write the responses of one file, and add them to the result."""
    url = source.url(stored.key)
    try:
        lines = source.get(stored.key, stored.etag).splitlines()
    except FetchError as error:
        raise ReconcileError(f"{url}: {error}") from None
    digest = hashlib.sha256(f"{url} {stored.etag}".encode()).hexdigest()[:8]
    part_numbers = count()
    waiting: dict[str, list[dict[str, Any]]] = {}

    def write(model_id: str) -> None:
        rows = waiting.pop(model_id)
        name = f"{stored.modified:%Y%m%dT%H%M%S%fZ}-{digest}-{next(part_numbers):05d}"
        output.write_part(f"counts/{model_id}", pa.Table.from_pylist(rows, schema=COUNTS_SCHEMA), name)
        result.rows[model_id] = result.rows.get(model_id, 0) + len(rows)
        cancellation.raise_if_cancelled()

    for number, response in parse_responses(lines):
        if response is None:
            if len(result.invalid_lines) < _MAX_LISTED:
                result.invalid_lines.append(f"{url}, line {number}: not a response of `reconcile serve` to a key")
            else:
                result.more_invalid += 1
            continue
        rows = waiting.setdefault(response.model_id, [])
        rows.append(response.row)
        if len(rows) == _PART_ROWS:
            write(response.model_id)
    for model_id in list(waiting):
        write(model_id)
