"""What a run came to, in numbers: the same in summary.json, on the terminal and at the top of the report."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self

from reconcile.text import exact_percent

if TYPE_CHECKING:
    from collections.abc import Callable


EXIT_DONE, EXIT_FAILED, EXIT_BAD_INPUT, EXIT_ALARM = 0, 1, 3, 4
_ROUNDING = 1e-9
"""7 of 100 is 7 %, whatever floating point makes of it."""
STATUS_WORDS = {
    "match": "match",
    "short": "short",
    "over": "over",
    "no_record": "no record",
    "no_image": "no image",
    "unreadable_image": "unreadable image",
    "invalid_record": "invalid record",
    "stale": "stale",
}

_ESTIMATE = {"value", "low", "high"}
_PARTS = {
    "expected_wrong": _ESTIMATE,
    "expected_wrong_in_queue": _ESTIMATE,
    "record_accuracy": _ESTIMATE,
    "recounts": {"run_id", "recounted", "wrong", "wrong_by_label", "expected_wrong", "low", "high"},
}
"""What is said of each of these, where it is said at all."""


@dataclass
class Summary:
    """The numbers of one run."""

    run_id: str
    bucket: str
    started_at: str
    model_version: str
    model_id: str
    labels: list[str]
    provider: str
    images: int = 0
    counted: int = 0
    """Images counted in this run."""
    already_counted: int = 0
    """Images that an earlier run counted or found unreadable."""
    rows: int = 0
    totals: dict[str, int] = field(default_factory=dict)
    """Rows of each status; they add up to `rows`."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall-clock time of each stage. Records are read while photos are counted, but for a run with `--limit`."""
    images_per_second: float | None = None
    """Of the images counted in this run; None where there were none."""
    parameters: dict[str, Any] = field(default_factory=dict)
    agreeing: int = 0
    """Bins of which photo and record give the same label."""
    capacity: int = 0
    """How many bins tonight's people can recount."""
    rank_by: str = "probability"
    tolerance: int = 0
    bins: int = 0
    """Different bin ids; `rows` also counts older photos of the same bin."""
    records: int = 0
    """Bins on record, several records of one bin taken together; and records without a bin id."""
    invalid_records: int = 0
    """Those whose quantity could not be read, or whose records disagree, also where the photo is unreadable, too."""
    met: int = 0
    """Bins that have both a photo and a record, whatever came of them."""
    older_photos: int = 0
    """Photos that could be read, of bins that have a newer one; their status is no_record, too."""
    photos_counted: int = 0
    """Photos with a count, from this run or before."""
    queued: int = 0
    """Bins in the recount queue."""
    covered: int = 0
    """Compared bins whose record the model's labels reach; only of these can anything be expected."""
    mix: list[float] | None = None
    """Tonight's share of each label, where it is far from training's and the probabilities were corrected for it."""
    class_prior: list[float] = field(default_factory=list)
    """Share of each label in training."""
    record_error_rate: float | None = None
    """π that p_wrong was computed with: assumed, or learned from recounts."""
    learned_from: int = 0
    """Recounts that it was learned from."""
    expected_wrong: dict[str, float] | None = None
    """Wrong records among the compared bins: value, low, high (95 %). None where nothing was compared."""
    found_wrong: int = 0
    """Those of them that recounts have found; the queue has none of them any more."""
    expected_wrong_in_queue: dict[str, float] | None = None
    """The same among the first `capacity` of the recount queue."""
    record_accuracy: dict[str, float] | None = None
    """Estimated share of the compared records that are right within the tolerance: value, low, high."""
    recounts: dict[str, Any] | None = None
    """What the last recounts found; see `verdicts.RecountsFound`."""
    notice: str | None = None
    """Something that everybody who reads the report has to know first."""
    report: str = ""
    exit_code: int = EXIT_DONE
    exit_reason: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The summary that `as_dict` gave; what another version said besides is left out.

        Raises:
            TypeError: something is missing that every run says.
        """
        known = {entry.name for entry in fields(cls)}
        missing = known - values.keys()
        for part, names in _PARTS.items():
            missing |= set() if values.get(part) is None else names - values[part].keys()
        if missing:
            raise TypeError(f"its summary says nothing of {', '.join(sorted(missing))}")
        return cls(**{name: value for name, value in values.items() if name in known})

    @property
    def compared(self) -> int:
        """Bins with both a count and a valid record."""
        return sum(self.totals[status] for status in ("match", "short", "over"))

    @property
    def without_record(self) -> int:
        """Photos of bins that have no record; older photos of a bin are not held against one."""
        return self.totals["no_record"] - self.older_photos

    @property
    def is_limited(self) -> bool:
        """Whether records of other bins than those photographed were left out."""
        return "limit" in self.parameters

    @property
    def discrepant(self) -> int:
        """Bins whose count and record differ."""
        return self.totals["short"] + self.totals["over"]

    @property
    def to_recount(self) -> int:
        """Bins on tonight's recount list."""
        return min(self.capacity, self.queued)

    @property
    def found_so_far(self) -> str:
        """What goes on after the number of wrong records to expect."""
        return f", {self.found_wrong:,} of them found by recounts" if self.found_wrong else ""

    def judge(
        self,
        max_unreadable: float,
        max_invalid: float,
        alarm: float | None,
        example_of: Callable[[str], str] = lambda _: "",
    ) -> None:
        """Set exit code and reason. Where several things hold, the reason tells all, and the first of them is the code.

        Args:
            max_unreadable: share of the images that may be.
            max_invalid: share of the bins on record that may be.
            alarm: share of the compared bins that are short or over which is too many; None for no alarm.
            example_of: what a reason goes on with, by status: why rows have it, and one of them. Asked where needed.
        """
        unreadable, invalid, compared = self.totals["unreadable_image"], self.invalid_records, self.compared
        found: list[tuple[int, str]] = []
        if unreadable > max_unreadable * self.images + _ROUNDING:
            told = (
                f"{unreadable:,} of {self.images:,} images were unreadable, more than {exact_percent(max_unreadable)}"
            )
            found.append((EXIT_BAD_INPUT, told + example_of("unreadable_image")))
        if compared == 0 and any((self.without_record, invalid, self.totals["stale"])):
            found.append((EXIT_FAILED, self._why_nothing_is_compared(example_of)))
        elif invalid > max_invalid * self.records + _ROUNDING:
            told = f"{self._so_many_invalid}, more than {exact_percent(max_invalid)}"
            found.append((EXIT_BAD_INPUT, told + example_of("invalid_record")))
        if alarm is not None and self.discrepant and self.discrepant >= alarm * compared - _ROUNDING:
            told = f"{self.discrepant:,} of {compared:,} compared bins are short or over"
            found.append((EXIT_ALARM, f"{told}: the alarm is at {exact_percent(alarm)}"))
        if found:
            self.exit_code = found[0][0]
            self.exit_reason = "; and ".join(told for _, told in found)

    @property
    def _so_many_invalid(self) -> str:
        return f"{self.invalid_records:,} of {self.records:,} bins on record are invalid"

    def _why_nothing_is_compared(self, example_of: Callable[[str], str]) -> str:
        if not self.records and not self.is_limited:
            told = "there is not one record"
        elif not self.met:
            told = "no photo and record are of the same bin"
        else:
            told = "no readable photo has a record that it can be held against"
        if self.without_record and not self.met:
            told += example_of("no_record")
        if self.invalid_records:
            told += f"; {self._so_many_invalid}{example_of('invalid_record')}"
        if self.totals["stale"]:
            told += f"; {self.totals['stale']:,} records changed after the photo (--stale-after)"
        return told

    def _expectations(self) -> list[tuple[str, str]]:
        if not (self.expected_wrong and self.expected_wrong_in_queue and self.record_accuracy):
            return []
        right = {name: f"{100 * share:.1f}" for name, share in self.record_accuracy.items()}
        within = f" within {self.tolerance}" if self.tolerance else ""
        return [
            (f"records right{within}", f"{right['value']} % (95 %: {right['low']} to {right['high']})"),
            ("records wrong", _interval(self.expected_wrong) + self.found_so_far),
            (f"of the first {self.to_recount:,}", _interval(self.expected_wrong_in_queue)),
        ]

    def _recounts(self) -> list[tuple[str, str]]:
        if not self.recounts:
            return []
        found = self.recounts
        return [
            (
                "last recounts",
                f"{found['recounted']:,}, {found['wrong']:,} wrong, {found['expected_wrong']:.1f} expected",
            )
        ]

    def lines(self) -> list[tuple[str, str]]:
        """What is printed at the end of a run: name and value."""
        rate = "-" if self.images_per_second is None else f"{self.images_per_second:,.0f}"
        statuses = {word: f"{self.totals[status]:,}" for status, word in STATUS_WORDS.items()}
        if self.older_photos:
            statuses["no record"] += f", {self.older_photos:,} of them older photos of a bin"
        return [
            ("bins", f"{self.bins:,}"),
            ("counted", f"{self.counted:,} now, {self.already_counted:,} before"),
            *statuses.items(),
            *self._expectations(),
            *self._recounts(),
            ("images per second", rate),
            ("report", self.report),
        ]


def _interval(expected: dict[str, float]) -> str:
    return f"{expected['value']:,.0f} expected (95 %: {expected['low']:,.0f} to {expected['high']:,.0f})"
