"""The figures of a run, as in `summary.json`."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator


STATUS_WORDS = {
    "match": "match",
    "short": "short",
    "over": "over",
    "no_record": "no record",
    "no_image": "no photo",
    "unreadable_image": "unreadable photo",
    "invalid_record": "invalid record",
    "stale": "stale",
}
"""The statuses of a row, in the order in which people read them, and their words."""
KEYS = (
    "run_id", "bucket", "started_at", "model_version", "model_id", "labels", "provider", "images", "counted",
    "already_counted", "rows", "totals", "seconds", "images_per_second", "parameters", "agreeing", "capacity",
    "rank_by", "tolerance", "bins", "records", "invalid_records", "met", "older_photos", "photos_counted", "queued",
    "suspect", "covered", "blank_photos", "identical_photos", "blank_or_identical", "mix", "class_prior",
    "record_error_rate", "learned_from", "expected_wrong", "found_wrong", "expected_wrong_in_queue", "record_accuracy",
    "recounts", "inbox", "notice", "warnings", "report", "exit_code", "exit_reason",
)  # fmt: skip
"""The keys of summary.json, in the order of the file."""
_LATER_KEYS: dict[str, Any] = {
    "inbox": [],
    "suspect": None,
    "blank_photos": 0,
    "identical_photos": 0,
    "blank_or_identical": 0,
    "warnings": [],
}
"""Keys that the summaries of older versions lack, with the values of such a summary."""
_ESTIMATE = {"value", "low", "high"}
_NESTED_KEYS = {
    "expected_wrong": _ESTIMATE,
    "expected_wrong_in_queue": _ESTIMATE,
    "record_accuracy": _ESTIMATE,
    "recounts": {"run_id", "recounted", "wrong", "wrong_by_label", "expected_wrong", "low", "high"},
}
"""The keys that these values must have, unless they are null."""


@dataclass(frozen=True)
class RunCounts:
    """The columns of sql/figures/run_counts.sql."""

    bins: int = 0
    """Distinct bin ids. `Summary.rows` also counts older photos of a bin."""
    photos_counted: int = 0
    """Photos with a count, from this run or an earlier one."""
    records: int = 0
    """Bins on record, and records without a bin id. Several records of one bin count once."""
    invalid_records: int = 0
    """Bins on record without a valid quantity, or with records that disagree. The photo may be unreadable, too."""
    met: int = 0
    """Bins that have both a photo and a record, readable or not."""
    older_photos: int = 0
    """Readable photos of bins that have a newer photo. Their status is no_record."""
    queued: int = 0
    """Bins in the recount queue."""
    suspect: int | None = 0
    """Bins in the recount queue whose record is wrong with a probability of at least one in twenty. None in older
    summaries."""
    covered: int = 0
    """Compared bins whose record a label of the model covers. Only these bins have a p_wrong."""
    agreeing: int = 0
    """Covered bins in which photo and record have the same label."""
    blank_photos: int = 0
    """Photos that have nearly one colour, as if a cap covered the lens."""
    identical_photos: int = 0
    """Photos with the same bytes as another photo, as from a camera that hangs."""
    blank_or_identical: int = 0
    """Photos that are blank or identical to another photo."""


@dataclass
class Summary:
    """The figures of one run, filled in by its phases."""

    run_id: str
    bucket: str
    started_at: str
    """ISO 8601, UTC."""
    model_version: str
    model_id: str
    labels: list[str]
    provider: str
    """The device that counted."""
    images: int = 0
    """Listed images."""
    counted: int = 0
    """Images counted in this run."""
    already_counted: int = 0
    """Images that an earlier run counted or found unreadable."""
    rows: int = 0
    """Rows of reconciled.parquet."""
    totals: dict[str, int] = field(default_factory=dict)
    """Rows of each status; they add up to `rows`."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall-clock seconds of each stage. Without `--limit`, records are read while photos are counted."""
    images_per_second: float | None = None
    """Counting speed in this run; None if no image was counted."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """The settings of the run."""
    counts: RunCounts = field(default_factory=RunCounts)
    capacity: int = 0
    """The number of bins that people can recount."""
    rank_by: str = "probability"
    tolerance: int = 0
    """Items by which a record may be off and still count as correct."""
    mix: list[float] | None = None
    """The class prior of this run: the fraction of each label, for which the probabilities were corrected. None if it
    is near the training."""
    class_prior: list[float] = field(default_factory=list)
    """The fraction of each label in training."""
    record_error_rate: float | None = None
    """The error rate π behind p_wrong, assumed or learned from recounts."""
    learned_from: int = 0
    """The number of recounts from which the rate was learned."""
    expected_wrong: dict[str, float] | None = None
    """Wrong records among the compared bins: value, low, high (95 %). None if nothing was compared."""
    found_wrong: int = 0
    """Wrong records that recounts have found. Their bins are no longer in the queue."""
    expected_wrong_in_queue: dict[str, float] | None = None
    """Wrong records among the first `capacity` bins of the queue: value, low, high (95 %)."""
    record_accuracy: dict[str, float] | None = None
    """Estimated fraction of the compared records that are correct within the tolerance: value, low, high (95 %)."""
    recounts: dict[str, Any] | None = None
    """The results of the last recounts; see `RecountsFound`."""
    inbox: list[dict[str, Any]] = field(default_factory=list)
    """What became of each file in the inbox; see `InboxResult`."""
    notice: str | None = None
    """A sentence that the report shows first."""
    warnings: list[str] = field(default_factory=list)
    """What may be wrong with the photos of this run, for the report."""
    report: str = ""
    """The location of the report."""
    exit_code: int = 0
    exit_reason: str | None = None
    """Why the exit code is not 0."""

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the wall-clock time of the `with` block to a stage.

        Args:
            stage: a key of `seconds`.
        """
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] = round(self.seconds.get(stage, 0.0) + time.monotonic() - started, 2)

    def as_dict(self) -> dict[str, Any]:
        """Return the content of summary.json. The fields of `counts` become keys of the same level."""
        values = asdict(self)
        values |= values.pop("counts")
        return {key: values[key] for key in KEYS}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the summary of an earlier run. Unknown keys of other versions are ignored.

        Args:
            values: the content of summary.json.

        Raises:
            TypeError: a key is missing.
        """
        values = _LATER_KEYS | values
        missing = set(KEYS) - values.keys()
        for name, keys in _NESTED_KEYS.items():
            missing |= set() if values.get(name) is None else keys - values[name].keys()
        if missing:
            raise TypeError(f"its summary.json lacks {', '.join(sorted(missing))}")
        known = {key: values[key] for key in KEYS}
        counts = RunCounts(**{entry.name: known.pop(entry.name) for entry in fields(RunCounts)})
        return cls(counts=counts, **known)

    @property
    def compared(self) -> int:
        """Bins with both a count and a valid record."""
        return sum(self.totals[status] for status in ("match", "short", "over"))

    @property
    def without_record(self) -> int:
        """Photos of bins without a record. Older photos of a bin are not included, because they are not compared."""
        return self.totals["no_record"] - self.counts.older_photos

    @property
    def is_limited(self) -> bool:
        """True if the run left out the records of bins without a photo."""
        return "limit" in self.parameters

    @property
    def to_recount(self) -> int:
        """Bins on the recount list."""
        return min(self.capacity, self.counts.queued)
