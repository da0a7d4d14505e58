"""Import verdicts: complete each line from its run and append it to `<out>/verdicts`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reconcile.discrepancy.label_shift import adjust_for_prior
from reconcile.discrepancy.scoring import as_matrix
from reconcile.errors import first_line
from reconcile.inputs.cells import unguard_id
from reconcile.inputs.tables.open import InvalidLine
from reconcile.output.run_ids import RUN_ID_FORM
from reconcile.output.schemas import VERDICTS_SCHEMA
from reconcile.resources import query
from reconcile.verdicts.csv_file import read_verdict_file
from reconcile.verdicts.queries import FOLDER, open_verdicts

if TYPE_CHECKING:
    from pathlib import Path

    from reconcile.output.store import Output
    from reconcile.verdicts.csv_file import VerdictLine


_COLUMNS = ["bin_id", "image_key", "image_etag", "expected_quantity", "p_wrong", "probabilities"]
_COMPARED = ["match", "short", "over"]
_BATCH_ROWS = 50_000
_LARGE_COUNT, _LARGE_FACTOR = 20, 10
"""A count above both 20 and ten times the record is probably a typing error or a scanned number."""
_MOST_LINE_NUMBERS = 10
"""Line numbers that a reason lists if they are not consecutive."""
_MOST_REASONS = 20
_REWRITTEN = re.compile(r"[\d.,]+E[+-]?\d+|\d{1,4}[-./ ]\w{1,9}([-./ ]\d{1,4})?", re.IGNORECASE)
"""Ids that a spreadsheet turned into a number or a date: 1.2E+11, 02-Jan, 3/4/2026."""


class ImportResult(NamedTuple):
    """The result of importing one file of verdicts."""

    imported: int
    known: int
    """Lines that were imported before. The report exports all marks each time, so repeats are normal."""
    invalid: list[InvalidLine]
    """Lines that were not imported, in the order of the file."""

    @property
    def reasons(self) -> list[str]:
        """Return one sentence per reason, with the numbers of the invalid lines that it applies to."""
        return _group_by_reason(self.invalid)


@dataclass(frozen=True)
class InboxFile:
    """The identity of a file in the inbox, whose import may be repeated after a run was killed."""

    name: str
    """The file in errors."""
    digest: str
    """Names the content of the file. Lines that were imported from this content before are known."""


def import_verdicts(
    path: Path, output: Output, work: Path, *, accept_large: bool = False, inbox_file: InboxFile | None = None
) -> ImportResult:
    """Import a file of verdicts. Each line is completed with the facts of its run.

    The verdict that was imported last is used, even if a clock was wrong.

    Args:
        path: a CSV file; see `csv_file.read_verdict_file`.
        output: holds the runs, and receives the verdicts.
        work: a folder for copies of files on S3.
        accept_large: import counts above 20 that are also over ten times the record. Without it they are invalid.
        inbox_file: the identity of the file if it was in the inbox.

    Raises:
        UsageError: the file cannot be read.
        ReconcileError: earlier verdicts cannot be read, or new ones cannot be written.
    """
    lines, invalid = read_verdict_file(path, inbox_file.name if inbox_file else None)
    rows: list[dict[str, Any]] = []
    for run_id in dict.fromkeys(line.run_id for line in lines):
        lines_of_run = [line for line in lines if line.run_id == run_id]
        completed, rejected = _complete(lines_of_run, run_id, output, work)
        rows += completed
        invalid += rejected
    rows.sort(key=lambda row: row["line"])
    if inbox_file:
        rows = [row | {"entry_id": f"{inbox_file.digest}:{row['line']}"} for row in rows]
    new, sequence = _drop_known(rows, output, work) if rows else ([], 1)
    known = len(rows) - len(new)
    if not accept_large:
        invalid += [InvalidLine(row["line"], _explain_large(row)) for row in new if _is_large(row)]
        new = [row for row in new if not _is_large(row)]
    if new:
        stamp = {"imported_at": datetime.now(UTC), "sequence": sequence}
        imported = [row | stamp for row in new]
        output.write_part(FOLDER, pa.Table.from_pylist(imported, schema=VERDICTS_SCHEMA))
    return ImportResult(len(new), known, sorted(invalid, key=lambda line: line.number))


def _is_large(row: dict[str, Any]) -> bool:
    count: int = row["true_count"]
    return count > _LARGE_COUNT and count > _LARGE_FACTOR * row["expected_quantity"]


def _explain_large(row: dict[str, Any]) -> str:
    return (
        f"true_count of bin {row['bin_id'][:100]!r} is {row['true_count']:,}, over {_LARGE_FACTOR} times the record of "
        f"{row['expected_quantity']:,}; if the count is correct, import it with reconcile verdicts import --yes"
    )


def _group_by_reason(invalid: list[InvalidLine]) -> list[str]:
    """List each reason once with its line numbers, because many lines often share one mistake."""
    numbers: dict[str, list[int]] = {}
    for line in invalid:
        numbers.setdefault(line.reason, []).append(line.number)
    reasons = [f"{_line_numbers(of_reason)}: {reason}" for reason, of_reason in numbers.items()][:_MOST_REASONS]
    more = sum(map(len, list(numbers.values())[_MOST_REASONS:]))
    return [*reasons, f"and {more:,} more lines for other reasons"] if more else reasons


def _line_numbers(numbers: list[int]) -> str:
    first, last = numbers[0], numbers[-1]
    if len(numbers) == 1:
        return f"line {first}"
    if last - first == len(numbers) - 1:
        return f"lines {first} to {last}"
    more = f" and {len(numbers) - _MOST_LINE_NUMBERS:,} more" if len(numbers) > _MOST_LINE_NUMBERS else ""
    return f"lines {', '.join(map(str, numbers[:_MOST_LINE_NUMBERS]))}{more}"


def _complete(
    lines: list[VerdictLine], run_id: str, output: Output, work: Path
) -> tuple[list[dict[str, Any]], list[InvalidLine]]:
    """Add to each line what its run recorded about the bin.

    Returns:
        the completed rows, and the lines that no bin of the run matches.
    """
    is_valid_id = RUN_ID_FORM.fullmatch(run_id) is not None
    reconciled = output.local_run_file(run_id, "reconciled.parquet", work) if is_valid_id else None
    summary_file = output.local_run_file(run_id, "summary.json", work) if is_valid_id else None
    if reconciled is None or summary_file is None:
        reason = f"there is no finished run {run_id[:100]!r} in {output.location}; check --out"
        return [], [InvalidLine(line.line, reason) for line in lines]
    try:
        summary = json.loads(summary_file.read_bytes())
        run = {"labels": summary["labels"], "bucket": summary["bucket"], "run_started_at": summary["started_at"]}
        bins = _Bins(with_scored_probabilities(_read_candidates(lines, reconciled), summary))
    except Exception as error:
        reason = f"run {run_id} cannot be read, or another version of reconcile wrote it: {first_line(error)}"
        return [], [InvalidLine(line.line, reason) for line in lines]
    rows, invalid = [], []
    for line in lines:
        try:
            row = bins.find(line)
        except ValueError as reason:
            invalid.append(InvalidLine(line.line, str(reason)))
            continue
        verdict = {"run_id": run_id, "true_count": line.true_count, "note": line.note, "line": line.line}
        rows.append(row | verdict | run | {"counted_by": line.counted_by, "reason": line.reason})
    return rows, invalid


def with_scored_probabilities(rows: list[dict[str, Any]], summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Replace each photo's probabilities by those that p_wrong was computed from.

    Some runs correct the probabilities for another class prior. If the error model learned from the uncorrected ones,
    it would overestimate the rate of wrong records several times.

    Args:
        rows: bins with `probabilities`, as in reconciled.parquet.
        summary: the content of the run's summary.json.
    """
    if summary["mix"] is None or not rows:
        return rows
    photo = as_matrix([row["probabilities"] for row in rows], len(summary["labels"]))
    scored = adjust_for_prior(photo, summary["class_prior"], np.array(summary["mix"])).astype(np.float32)
    return [row | {"probabilities": probs.tolist()} for row, probs in zip(rows, scored, strict=True)]


def _read_candidates(lines: list[VerdictLine], reconciled: Path) -> list[dict[str, Any]]:
    """Read the compared bins that the lines may refer to, which are few of a run's many rows."""
    keys = pa.array([line.image_key for line in lines if line.image_key], pa.string())
    ids = pa.array([_normalized(line.bin_id) for line in lines], pa.string())
    rows: list[dict[str, Any]] = []
    with pq.ParquetFile(reconciled) as file:
        for batch in file.iter_batches(_BATCH_ROWS, columns=["status", *_COLUMNS]):
            compared = batch.filter(pc.is_in(batch["status"], pa.array(_COMPARED)))
            normalized = pc.utf8_ltrim(pc.utf8_trim_whitespace(compared["bin_id"]), characters="0")
            is_candidate = pc.or_(pc.is_in(compared["image_key"], keys), pc.is_in(normalized, ids))
            rows += compared.filter(is_candidate).select(_COLUMNS).to_pylist()
    return rows


def _normalized(bin_id: str) -> str:
    """Return an id without leading zeros, which a spreadsheet removes when it reads 00012 as the number 12."""
    return bin_id.strip().lstrip("0")


class _Bins:
    """The candidate bins of a run, by image key, by id and by normalized id."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self._by_key = {row["image_key"]: row for row in rows}
        self._by_id = {row["bin_id"]: row for row in rows}
        self._by_normalized_id: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            self._by_normalized_id.setdefault(_normalized(row["bin_id"]), []).append(row)

    def find(self, line: VerdictLine) -> dict[str, Any]:
        """Return the bin that a line refers to.

        Raises:
            ValueError: no bin matches, or several do.
        """
        by_id, by_key = self._by_id.get(line.bin_id), self._by_key.get(line.image_key)
        if by_key is not None:
            # The image key may replace an id that a spreadsheet rewrote, but not another id that somebody typed.
            is_rewritten = by_id is None and _REWRITTEN.fullmatch(line.bin_id) is not None
            if is_rewritten or _normalized(unguard_id(by_key["bin_id"])) == _normalized(line.bin_id):
                return by_key
            raise ValueError(f"image_key is a photo of bin {by_key['bin_id'][:100]!r}, not of {line.bin_id[:100]!r}")
        if by_id is not None:
            return by_id
        matches = self._by_normalized_id.get(_normalized(line.bin_id), [])
        if len(matches) == 1:
            return matches[0]
        if matches:
            several = ", ".join(sorted(row["bin_id"] for row in matches)[:5])
            raise ValueError(f"bin {line.bin_id[:100]!r} may be any of {several}")
        raise ValueError(f"the run in run_id did not compare bin {line.bin_id[:100]!r}")


def _drop_known(rows: list[dict[str, Any]], output: Output, work: Path) -> tuple[list[dict[str, Any]], int]:
    """Leave out rows that repeat the last verdict on that bin of that run, and rows that were imported before.

    Returns:
        the other rows, and the sequence number of this import.
    """
    with open_verdicts(output.local_parts(FOLDER, work), work) as database:
        before = database.sql(query("verdicts/by_run")).fetchall()
        [(sequence,)] = database.sql("SELECT coalesce(max(sequence), 0) + 1 FROM verdicts").fetchall()
        entries = {entry for (entry,) in database.sql("SELECT entry_id FROM verdicts").fetchall() if entry}
    latest = {(run_id, bin_id): (count, note) for run_id, bin_id, count, note in before}
    new = []
    for row in rows:
        if row.get("entry_id") in entries:
            continue
        key, verdict = (row["run_id"], row["bin_id"]), (row["true_count"], row["note"])
        if latest.get(key) != verdict:
            new.append(row)
        latest[key] = verdict
    return new, sequence
