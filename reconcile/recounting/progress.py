"""What people have found so far, by bin."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconcile.recounting.queue import Card


class BinState(StrEnum):
    """The state of a bin in the queue."""

    OPEN = "open"
    DONE = "done"
    SECOND = "second"
    """Another person has to count the bin as well."""
    CANNOT = "cannot"
    """A person could not count the bin, and nobody else has counted it."""


class Finding(NamedTuple):
    """One row of the verdicts, as far as progress needs it."""

    entry_id: str | None
    true_count: int | None
    counted_by: str | None


@dataclass(frozen=True)
class SecondCounts:
    """The rule for second counts."""

    wanted: bool
    tolerance: int
    """Items by which a count may differ from the record before a second person has to count."""


class Progress:
    """All verdicts on the bins of the queue, whoever made them and wherever they were imported.

    A verdict counts for a bin if it is about the same photo and the same record, as in a run.
    """

    def __init__(self) -> None:
        self._findings: dict[tuple[str, str, int], list[Finding]] = defaultdict(list)
        self._entries: set[str] = set()
        self._withdrawn: set[str] = set()
        self.version = 0
        """Grows with every change."""
        self._changed: dict[tuple[str, str, int], int] = {}

    def knows(self, entry_id: str) -> bool:
        """Return whether a tap is among the verdicts."""
        return entry_id in self._entries

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Add verdicts in the order of their importance: the last one counts. Rows with a known entry_id are skipped.

        Args:
            rows: columns of the verdicts.
        """
        for row in rows:
            entry_id = row.get("entry_id")
            if entry_id is not None and entry_id in self._entries:
                continue
            self.version += 1
            key = (row["bin_id"], row["image_etag"], row["expected_quantity"])
            self._changed[key] = self.version
            if entry_id is not None:
                self._entries.add(entry_id)
            if row.get("withdraws") is not None:
                self._withdrawn.add(row["withdraws"])
            else:
                self._findings[key].append(Finding(entry_id, row["true_count"], row.get("counted_by")))

    def changed_since(self, card: Card, version: int) -> bool:
        """Return whether a bin has changed after `version`."""
        return self._changed.get(card.verified_by, 0) > version

    def findings(self, card: Card) -> list[Finding]:
        """Return what people found in a bin, without what they took back. The last one counts."""
        findings = self._findings.get(card.verified_by, [])
        return [finding for finding in findings if finding.entry_id not in self._withdrawn]

    def counts(self, card: Card) -> list[Finding]:
        """Return the counts of a bin, without those that were taken back. The last one counts."""
        return [finding for finding in self.findings(card) if finding.true_count is not None]

    def state(self, card: Card, rule: SecondCounts) -> BinState:
        """Return the state of a bin."""
        counts = self.counts(card)
        if not counts:
            return BinState.CANNOT if self.findings(card) else BinState.OPEN
        last = counts[-1]
        assert last.true_count is not None
        differs = abs(last.true_count - card.expected_quantity) > rule.tolerance
        if rule.wanted and differs and len({person(finding.counted_by) for finding in counts}) < 2:
            return BinState.SECOND
        return BinState.DONE

    def people(self, card: Card) -> set[str]:
        """Return who has counted a bin, as `person` compares names."""
        return {person(finding.counted_by) for finding in self.counts(card)}


def person(name: str | None) -> str:
    """Return a name as it is compared: Ann and ann are one person."""
    return (name or "").strip().casefold()
