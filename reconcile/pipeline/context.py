"""Everything a run needs, opened and checked before work starts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb

from reconcile.engines.open import open_engine
from reconcile.errors import UsageError, first_line
from reconcile.inputs.records_table import check_name
from reconcile.locations import check_apart, open_output
from reconcile.storage.open import open_bucket

if TYPE_CHECKING:
    from reconcile.config import Settings
    from reconcile.engines.base import Engine
    from reconcile.logs import RunLog
    from reconcile.output.store import Output
    from reconcile.storage.base import Bucket


@dataclass(frozen=True)
class RunContext:
    """Everything one run needs, opened and checked."""

    settings: Settings
    bucket: Bucket
    """The bucket with the photos."""
    output: Output
    """`<out>`."""
    engine: Engine
    """The engine that counts the photos."""
    run_id: str
    """The name of the run's folder under `<out>/runs/`."""
    log: RunLog

    @property
    def counts_folder(self) -> str:
        """The folder in `<out>` with the counts of this run's model."""
        return f"counts/{self.engine.model.model_id}"


def open_run(settings: Settings, run_id: str, log: RunLog) -> RunContext:
    """Open everything a run needs, and check that the run can start.

    Args:
        settings: the settings of the run.
        run_id: the name of the run's folder under `<out>/runs/`.
        log: where the run reports what it does.

    Raises:
        UsageError: a setting is wrong.
        ReconcileError: the bucket, the credentials, the model or `<out>` is missing or cannot be used.
    """
    if settings.records is not None:
        check_name(settings.records)
    if settings.where is not None:
        check_pattern(settings.where)
    engine = open_engine(settings, log)
    bucket = open_bucket(settings.bucket, settings.s3_access(), warn=log.warn)
    output = open_output(settings, create=True)
    check_apart(settings, bucket, output.location)
    output.check_writable()
    return RunContext(settings, bucket, output, engine, run_id, log)


def check_pattern(pattern: str) -> None:
    """Check that DuckDB can apply a regular expression. Its engine (RE2) lacks some features of Python's.

    Args:
        pattern: the pattern of `--where`, which Python has accepted.

    Raises:
        UsageError: DuckDB cannot apply the pattern.
    """
    try:
        for group in re.compile(pattern).groupindex.values():
            duckdb.execute("SELECT regexp_extract('', ?, ?)", [pattern, group])
    except duckdb.Error as error:
        raise UsageError(f"--where: {first_line(error)}") from None
