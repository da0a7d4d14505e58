"""What a run works with: the bucket, <out>, and whoever counts; opened, and found good before any work starts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import duckdb

from reconcile.engines.open import open_engine
from reconcile.errors import UsageError, first_line
from reconcile.inputs.records_table import table_format
from reconcile.locations import open_output
from reconcile.storage.open import open_bucket

if TYPE_CHECKING:
    from reconcile.config import Settings
    from reconcile.engines.base import Engine
    from reconcile.logs import RunLog
    from reconcile.output.store import Output
    from reconcile.storage.base import Bucket


class RunContext(NamedTuple):
    """What a run works with, opened and found good."""

    bucket: Bucket
    output: Output
    engine: Engine


def open_run(settings: Settings, messages: RunLog) -> RunContext:
    """Open all that a run needs, and see that it can begin.

    Raises:
        ReconcileError: no bucket, no credentials, no model or no output.
    """
    if settings.records is not None:
        table_format(settings.records)
    if settings.where is not None:
        check_pattern(settings.where)
    engine = open_engine(settings, messages)
    bucket = open_bucket(settings.bucket, settings.s3_access())
    output = open_output(settings, create=True)
    for prefix in (settings.images_prefix, settings.records_prefix):
        if f"{output.location}/".startswith(bucket.url(prefix).rstrip("/") + "/"):
            raise UsageError(f"--out lies in {bucket.url(prefix)}, where it would be read as photos or records")
    output.check_writable()
    return RunContext(bucket, output, engine)


def check_pattern(pattern: str) -> None:
    """Raise UsageError where DuckDB's regular expressions (RE2) cannot do what Python's can."""
    try:
        for group in re.compile(pattern).groupindex.values():
            duckdb.execute("SELECT regexp_extract('', ?, ?)", [pattern, group])
    except duckdb.Error as error:
        raise UsageError(f"--where: {first_line(error)}") from None
