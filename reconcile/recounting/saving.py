"""Save the taps of people, each exactly once."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from reconcile.recounting.claims import CardName
from reconcile.recounting.entries import Entry, InvalidEntry, counted_at, parse_entry
from reconcile.recounting.progress import BinState, Finding, person

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconcile.recounting.journal import Journal
    from reconcile.recounting.queue import Card, RecountRun
    from reconcile.recounting.shift import Person, Shift


class Saving:
    """Saves entries into a journal.

    Args:
        shift: knows the runs, and gets what was saved.
        journal: keeps the entries.
    """

    def __init__(self, shift: Shift, journal: Journal) -> None:
        self._shift, self._journal = shift, journal
        self._saving = threading.Lock()

    def save(self, someone: Person, values: Sequence[Any]) -> list[dict[str, Any]]:
        """Save entries in their order, each once. They are on the disk when this method returns.

        Args:
            someone: who sends the entries.
            values: the entries, see `entries.parse_entry`.

        Returns:
            a result for each entry: its id, and either `saved` or the reason why it can never be saved.

        Raises:
            ReconcileError: the disk is full, or the run of an entry cannot be read now. The phone sends all again.
        """
        accepted: list[tuple[Entry, RecountRun, Card]] = []
        results: list[dict[str, Any]] = []
        for value in values:
            try:
                entry = parse_entry(value)
                accepted.append((entry, *self._find_card(entry)))
                results.append({"id": entry.entry_id, "saved": True})
            except InvalidEntry as reason:
                entry_id = value.get("id") if isinstance(value, dict) else None
                results.append({"id": entry_id, "saved": False, "reason": str(reason)})
        with self._saving:
            self._keep(someone, accepted)
        with self._shift.lock:
            found = {entry.entry_id: self._outcome(someone, entry, run, card) for entry, run, card in accepted}
        return [result | found.get(result["id"], {}) for result in results]

    def _find_card(self, entry: Entry) -> tuple[RecountRun, Card]:
        """Return the card of an entry.

        Raises:
            InvalidEntry: there is no such run or card.
            ReconcileError: the store cannot be reached.
        """
        run = self._shift.find_run(entry.run_id)
        if run is None:
            raise InvalidEntry(f"the run {entry.run_id} no longer exists; write the count down")
        card = run.cards.get(entry.number)
        if card is None or card.bin_id != entry.bin_id:
            raise InvalidEntry("the run has no such bin; load the page again")
        return run, card

    def _keep(self, someone: Person, accepted: Sequence[tuple[Entry, RecountRun, Card]]) -> None:
        now, rows = datetime.now(UTC), {}
        with self._shift.lock:
            for entry, run, card in accepted:
                if not self._shift.progress.knows(entry.entry_id) and entry.entry_id not in rows:
                    rows[entry.entry_id] = self._verdict(someone, entry, run, card, now)
        if rows:
            self._journal.append(list(rows.values()))
        with self._shift.lock:
            self._shift.progress.add(rows.values())
            for entry, run, card in accepted:
                self._shift.claims.release(CardName(run.run_id, card.number)) if entry.action != "undo" else None

    def _verdict(self, someone: Person, entry: Entry, run: RecountRun, card: Card, now: datetime) -> dict[str, Any]:
        first = self._first_count(someone, run, card) if entry.action == "count" else None
        return run.verdict_facts(card) | {
            "true_count": entry.count,
            "note": entry.note,
            "reason": entry.reason,
            "counted_by": someone.who,
            "counted_at": counted_at(entry, now).isoformat(),
            "first_count": None if first is None else first.true_count,
            "first_counted_by": None if first is None else first.counted_by,
            "entry_id": entry.entry_id,
            "withdraws": entry.withdraws,
        }

    def _first_count(self, someone: Person, run: RecountRun, card: Card) -> Finding | None:
        """Return what another person found before, if this is a second count."""
        rule, counts = self._shift.rule(run), self._shift.progress.counts(card)
        others = [finding for finding in counts if person(finding.counted_by) != person(someone.who)]
        if not rule.wanted or not others:
            return None
        assert others[-1].true_count is not None
        return others[-1] if abs(others[-1].true_count - card.expected_quantity) > rule.tolerance else None

    def _outcome(self, someone: Person, entry: Entry, run: RecountRun, card: Card) -> dict[str, Any]:
        """Return what a person may see after the count: the record, the photo's count, and what others found."""
        if entry.action != "count":
            return {}
        rule, progress = self._shift.rule(run), self._shift.progress
        others = [finding for finding in progress.counts(card) if person(finding.counted_by) != person(someone.who)]
        outcome = {"record": card.expected_quantity, "photo": card.predicted_label, "found": entry.count}
        if progress.state(card, rule) is BinState.SECOND:
            outcome["second"] = True
        if others:
            outcome["other"] = {"who": others[-1].counted_by or "An imported file", "found": others[-1].true_count}
        return outcome
