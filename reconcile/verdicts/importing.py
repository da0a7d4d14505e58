"""Verdicts: what people found who recounted bins, kept beside the runs and learned from."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reconcile.discrepancy.label_shift import adjust_for_prior
from reconcile.discrepancy.scoring import as_matrix
from reconcile.errors import first_line
from reconcile.inputs.spreadsheet_csv import InvalidLine, unescape_formula
from reconcile.output.run_ids import RUN_ID_FORM
from reconcile.output.schemas import VERDICTS_SCHEMA
from reconcile.resources import query
from reconcile.verdicts.csv_file import read_verdict_file
from reconcile.verdicts.queries import FOLDER, _database

if TYPE_CHECKING:
    from pathlib import Path

    from reconcile.output.store import Output
    from reconcile.verdicts.csv_file import VerdictLine


_COLUMNS = ["bin_id", "image_key", "image_etag", "expected_quantity", "p_wrong", "probabilities"]
_COMPARED = ["match", "short", "over"]
_ROWS_AT_ONCE = 50_000
_NAMED = 10
"""Lines of one reason, where they do not follow each other."""
_MOST_REASONS = 20
_REWRITTEN = re.compile(r"[\d.,]+E[+-]?\d+|\d{1,4}[-./ ]\w{1,9}([-./ ]\d{1,4})?", re.IGNORECASE)
"""Ids that a spreadsheet took for a number or a date: 1.2E+11, 02-Jan, 3/4/2026."""


class ImportResult(NamedTuple):
    """What came of a file of verdicts."""

    taken: int
    known: int
    """Lines that say what was imported before: the report's export holds all marks each time."""
    left_out: int
    """Lines that could not be taken."""
    reasons: list[str]
    """Why, a sentence each, with the numbers of the lines that it is true of."""


def import_verdicts(path: Path, output: Output, work: Path) -> ImportResult:
    """Take up a file of verdicts: each line is completed from its run, and kept.

    Args:
        path: CSV; see `verdict_file.read_verdict_file`.
        output: where the runs are, and the verdicts go.
        work: a folder for copies of what lies on S3.

    Raises:
        UsageError: the file cannot be read at all.
        ReconcileError: the verdicts so far cannot be read, or new ones not be written.
    """
    lines, bad = read_verdict_file(path)
    rows: list[dict[str, Any]] = []
    for run_id in dict.fromkeys(line.run_id for line in lines):
        of_run = [line for line in lines if line.run_id == run_id]
        found, not_found = _complete(of_run, run_id, output, work)
        rows += found
        bad += not_found
    rows.sort(key=lambda row: row["line"])
    new = _without_known(rows, output, work) if rows else []
    if new:
        now = datetime.now(UTC)
        imported = [row | {"imported_at": now} for row in new]
        output.write_part(FOLDER, pa.Table.from_pylist(imported, schema=VERDICTS_SCHEMA))
    return ImportResult(len(new), len(rows) - len(new), len(bad), _by_reason(bad))


def _by_reason(bad: list[InvalidLine]) -> list[str]:
    """Forty lines of a run that is not there are one mistake."""
    numbers: dict[str, list[int]] = {}
    for line in sorted(bad, key=lambda line: line.number):
        numbers.setdefault(line.reason, []).append(line.number)
    told = [f"{_lines(found)}: {reason}" for reason, found in numbers.items()][:_MOST_REASONS]
    more = sum(map(len, list(numbers.values())[_MOST_REASONS:]))
    return [*told, f"and {more:,} more lines for other reasons"] if more else told


def _lines(numbers: list[int]) -> str:
    first, last = numbers[0], numbers[-1]
    if len(numbers) == 1:
        return f"line {first}"
    if last - first == len(numbers) - 1:
        return f"lines {first} to {last}"
    more = f" and {len(numbers) - _NAMED:,} more" if len(numbers) > _NAMED else ""
    return f"lines {', '.join(map(str, numbers[:_NAMED]))}{more}"


def _complete(
    lines: list[VerdictLine], run_id: str, output: Output, work: Path
) -> tuple[list[dict[str, Any]], list[InvalidLine]]:
    """Add what the run knew of each bin."""
    is_a_name = RUN_ID_FORM.fullmatch(run_id) is not None
    reconciled = output.local_run_file(run_id, "reconciled.parquet", work) if is_a_name else None
    summary = output.local_run_file(run_id, "summary.json", work) if is_a_name else None
    if reconciled is None or summary is None:
        reason = f"there is no finished run {run_id[:100]!r} in {output.location}; is --out right?"
        return [], [InvalidLine(line.line, reason) for line in lines]
    try:
        night = json.loads(summary.read_bytes())
        of_run = {"labels": night["labels"], "bucket": night["bucket"], "run_started_at": night["started_at"]}
        bins = _Bins(_as_judged(_bins_like(lines, reconciled), night))
    except Exception as error:
        detail = first_line(error)
        reason = f"run {run_id} cannot be read, or is of a version that is not known here: {detail}"
        return [], [InvalidLine(line.line, reason) for line in lines]
    rows, bad = [], []
    for line in lines:
        try:
            known = bins.find(line)
        except ValueError as reason:
            bad.append(InvalidLine(line.line, str(reason)))
            continue
        verdict = {"run_id": run_id, "true_count": line.true_count, "note": line.note, "line": line.line}
        rows.append(known | verdict | of_run)
    return rows, bad


def _as_judged(rows: list[dict[str, Any]], summary: dict[str, Any]) -> list[dict[str, Any]]:
    """With the probabilities that p_wrong was computed from: on some nights they were corrected for the mix of counts.

    Learned from as the photo alone has them, a corrected night would make records look several times as often wrong.
    """
    if summary["mix"] is None or not rows:
        return rows
    photo = as_matrix([row["probabilities"] for row in rows], len(summary["labels"]))
    judged = adjust_for_prior(photo, summary["class_prior"], np.array(summary["mix"])).astype(np.float32)
    return [row | {"probabilities": shares.tolist()} for row, shares in zip(rows, judged, strict=True)]


def _bins_like(lines: list[VerdictLine], reconciled: Path) -> list[dict[str, Any]]:
    """The compared bins of a run that the lines may mean: of hundreds of thousands, few."""
    keys = pa.array([line.image_key for line in lines if line.image_key], pa.string())
    ids = pa.array([_loosely(line.bin_id) for line in lines], pa.string())
    rows: list[dict[str, Any]] = []
    with pq.ParquetFile(reconciled) as file:
        for batch in file.iter_batches(_ROWS_AT_ONCE, columns=["status", *_COLUMNS]):
            compared = batch.filter(pc.is_in(batch["status"], pa.array(_COMPARED)))
            alike = pc.utf8_ltrim(pc.utf8_trim_whitespace(compared["bin_id"]), characters="0")
            is_meant = pc.or_(pc.is_in(compared["image_key"], keys), pc.is_in(alike, ids))
            rows += compared.filter(is_meant).select(_COLUMNS).to_pylist()
    return rows


def _loosely(bin_id: str) -> str:
    """As it looks when a spreadsheet took 00012 for the number 12."""
    return bin_id.strip().lstrip("0")


class _Bins:
    """Compared bins of a run, by their names."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self._by_key = {row["image_key"]: row for row in rows}
        self._by_id = {row["bin_id"]: row for row in rows}
        self._alike: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            self._alike.setdefault(_loosely(row["bin_id"]), []).append(row)

    def find(self, line: VerdictLine) -> dict[str, Any]:
        """The bin that a line means.

        Raises:
            ValueError: there is none, or it may be several.
        """
        by_id, by_key = self._by_id.get(line.bin_id), self._by_key.get(line.image_key)
        if by_key is not None:
            # The key stands for what a spreadsheet made of the id, but not for an id that somebody meant.
            is_rewritten = by_id is None and _REWRITTEN.fullmatch(line.bin_id) is not None
            if is_rewritten or _loosely(unescape_formula(by_key["bin_id"])) == _loosely(line.bin_id):
                return by_key
            raise ValueError(f"image_key is a photo of bin {by_key['bin_id'][:100]!r}, not of {line.bin_id[:100]!r}")
        if by_id is not None:
            return by_id
        alike = self._alike.get(_loosely(line.bin_id), [])
        if len(alike) == 1:
            return alike[0]
        if alike:
            several = ", ".join(sorted(row["bin_id"] for row in alike)[:5])
            raise ValueError(f"bin {line.bin_id[:100]!r} may be any of {several}")
        raise ValueError(f"the run compared no bin {line.bin_id[:100]!r}")


def _without_known(rows: list[dict[str, Any]], output: Output, work: Path) -> list[dict[str, Any]]:
    """Leave out what says the same as the last verdict on that bin of that run."""
    with _database(output.local_parts(FOLDER, work), work) as database:
        before = database.sql(query("verdicts/by_run")).fetchall()
    said = {(run_id, bin_id): (count, note) for run_id, bin_id, count, note in before}
    new = []
    for row in rows:
        bin_of_run, verdict = (row["run_id"], row["bin_id"]), (row["true_count"], row["note"])
        if said.get(bin_of_run) != verdict:
            new.append(row)
        said[bin_of_run] = verdict
    return new
