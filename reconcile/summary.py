"""What a run came to, in numbers: the same in summary.json, on the terminal and at the top of the report."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

EXIT_DONE, EXIT_FAILED, EXIT_UNREADABLE, EXIT_ALARM = 0, 1, 3, 4
_ROUNDING = 1e-9
"""7 of 100 is 7 %, whatever floating point makes of it."""
STATUS_WORDS = {
    "match": "agreeing",
    "short": "short",
    "over": "over",
    "no_record": "no record",
    "no_image": "no image",
    "unreadable_image": "unreadable image",
    "invalid_record": "invalid record",
    "stale": "stale",
}


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
    """Wall-clock time of each stage."""
    images_per_second: float | None = None
    """Of the images counted in this run; None where there were none."""
    parameters: dict[str, Any] = field(default_factory=dict)
    notice: str | None = None
    """Something that everybody who reads the report has to know first."""
    report: str = ""
    exit_code: int = EXIT_DONE
    exit_reason: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @property
    def compared(self) -> int:
        """Bins with both a count and a valid record."""
        return sum(self.totals[status] for status in ("match", "short", "over"))

    @property
    def discrepant(self) -> int:
        """Bins whose count and record differ."""
        return self.totals["short"] + self.totals["over"]

    def judge(self, max_unreadable: float, alarm: float | None) -> None:
        """Set the exit code: too many unreadable images, nothing to compare, or the discrepancy alarm."""
        unreadable = self.totals["unreadable_image"]
        if unreadable > max_unreadable * self.images + _ROUNDING:
            self.exit_code = EXIT_UNREADABLE
            self.exit_reason = f"{unreadable} of {self.images} images were unreadable, more than {max_unreadable:.1%}"
        elif self.compared == 0 and self.totals["no_record"] and self.totals["no_image"]:
            self.exit_code = EXIT_FAILED
            self.exit_reason = "no photo and record are of the same bin"
        elif alarm is not None and self.discrepant and self.discrepant >= alarm * self.compared - _ROUNDING:
            self.exit_code = EXIT_ALARM
            self.exit_reason = (
                f"{self.discrepant} of {self.compared} compared bins are short or over: the alarm is at {alarm:.1%}"
            )

    def lines(self) -> list[tuple[str, str]]:
        """What is printed at the end of a run: name and value."""
        rate = "-" if self.images_per_second is None else f"{self.images_per_second:,.0f}"
        statuses = [(word, f"{self.totals[status]:,}") for status, word in STATUS_WORDS.items()]
        return [
            ("bins", f"{self.rows:,}"),
            ("counted", f"{self.counted:,} now, {self.already_counted:,} before"),
            *statuses,
            ("images per second", rate),
            ("report", self.report),
        ]
