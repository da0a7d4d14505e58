"""What a phone asks every few seconds: which bins are done, who is where, and which card comes next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from reconcile.recounting.claims import CardName
from reconcile.recounting.progress import BinState, person
from reconcile.recounting.tally import tally_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconcile.recounting.queue import Card, RecountRun
    from reconcile.recounting.shift import Person, Shift


@dataclass(frozen=True)
class Wish:
    """Which card a person wants next."""

    order: Literal["walking", "chance"]
    area: str | None
    """The first part of the location, such as the aisle; None for all."""
    after: int | None
    """The card on the screen. The next one follows it."""
    skipped: frozenset[int]
    """Cards with taps that the phone has not sent yet."""


class Polling:
    """Answers the polls of phones over one shift."""

    def __init__(self, shift: Shift) -> None:
        self._shift = shift
        self._tally: tuple[str, int, dict[str, Any]] | None = None

    def poll(self, someone: Person, holding: Sequence[int], wish: Wish | None, since: int) -> dict[str, Any]:
        """Renew the claims of a phone, claim the next card for it if it wants one, and tell what changed.

        Args:
            someone: who asks.
            holding: the cards that the phone shows. Its other claims end.
            wish: which card it wants next; None for no card.
            since: the version of its last poll; 0 for everything.

        Returns:
            the state, without any record or count of a single bin.
        """
        run = self._shift.newest_run()
        with self._shift.lock:
            version, run_id = self._shift.progress.version, None if run is None else run.run_id
            state: dict[str, Any] = {"epoch": self._shift.epoch, "version": version, "run": run_id}
            state["notices"] = self._shift.notices()
            if run is None:
                return state
            names = [CardName(run.run_id, number) for number in holding if number in run.cards]
            self._shift.claims.keep_only(someone.device, names)
            state["held"] = [name.number for name in names if self._shift.claims.claim(name, *someone)]
            state["next"] = None if wish is None else self._claim_next(run, someone, wish)
            taken = self._shift.claims.of_run(run.run_id)
            state["taken"] = {number: claim.who for number, claim in taken.items() if claim.device != someone.device}
            state["bins"] = self._changed_bins(run, someone, since)
            state["progress"] = self._cached_tally(run)
        return state

    def _claim_next(self, run: RecountRun, someone: Person, wish: Wish) -> int | None:
        order = list(run.walking if wish.order == "walking" else run.cards)
        start = 0 if wish.after is None or wish.after not in run.cards else order.index(wish.after) + 1
        for number in order[start:] + order[:start]:
            card, name = run.cards[number], CardName(run.run_id, number)
            is_wanted = wish.area is None or (card.parts and card.parts[0] == wish.area)
            if number == wish.after or number in wish.skipped or not is_wanted:
                continue
            if self._is_open_to(run, card, someone) and self._shift.claims.claim(name, *someone):
                return number
        return None

    def _is_open_to(self, run: RecountRun, card: Card, someone: Person) -> bool:
        state = self._shift.progress.state(card, self._shift.rule(run))
        is_second = state is BinState.SECOND and person(someone.who) not in self._shift.progress.people(card)
        return state is BinState.OPEN or is_second

    def _changed_bins(self, run: RecountRun, someone: Person, since: int) -> list[list[Any]]:
        """Return number and state of the bins that changed; `mine` for a second count that others have to make."""
        if since and since == self._shift.progress.version:
            return []
        changed = []
        for number, card in run.cards.items():
            if self._shift.progress.changed_since(card, since):
                state: str = self._shift.progress.state(card, self._shift.rule(run))
                if state == BinState.SECOND and person(someone.who) in self._shift.progress.people(card):
                    state = "mine"
                changed.append([number, state])
        return changed

    def _cached_tally(self, run: RecountRun) -> dict[str, Any]:
        version = self._shift.progress.version
        if self._tally is None or self._tally[:2] != (run.run_id, version):
            self._tally = run.run_id, version, tally_of(run, self._shift.progress, self._shift.rule(run))
        return self._tally[2]
