"""Claims: a bin that one person has on the screen is not offered to the others."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


CLAIM_SECONDS = 300.0
"""The seconds for which a claim lasts after the phone was last heard of. A locked phone is silent."""
_MOST_PER_DEVICE = 2
"""The card on the screen, and the next one."""


class CardName(NamedTuple):
    """A card of a run."""

    run_id: str
    number: int


class Claim(NamedTuple):
    """One claim."""

    device: str
    """A random text that the phone made."""
    who: str
    until: float
    """By `time.monotonic`."""


class Claims:
    """The claims of this server, and those of other servers over the same `<out>`."""

    def __init__(self) -> None:
        self._own: dict[CardName, Claim] = {}
        self._others: dict[CardName, Claim] = {}

    def holder(self, card: CardName, device: str) -> Claim | None:
        """Return the claim of another device on a card, or None."""
        now = time.monotonic()
        for claims in (self._own, self._others):
            claim = claims.get(card)
            if claim is not None and claim.until > now and claim.device != device:
                return claim
        return None

    def claim(self, card: CardName, device: str, who: str) -> bool:
        """Claim a card, or renew the claim. Return whether the device now holds it."""
        if self.holder(card, device) is not None:
            return False
        self._own.pop(card, None)
        self._own[card] = Claim(device, who, time.monotonic() + CLAIM_SECONDS)
        held = [name for name, claim in self._own.items() if claim.device == device]
        for name in held[:-_MOST_PER_DEVICE]:
            del self._own[name]
        return True

    def release(self, card: CardName) -> None:
        """End the claim on a card, because somebody has counted it."""
        self._own.pop(card, None)

    def keep_only(self, device: str, cards: Iterable[CardName]) -> None:
        """End the claims of a device on all cards except these."""
        kept = set(cards)
        for name in [name for name, claim in self._own.items() if claim.device == device and name not in kept]:
            del self._own[name]

    def of_run(self, run_id: str) -> dict[int, Claim]:
        """Return the claims on the cards of a run, by number."""
        now = time.monotonic()
        claims = self._others | self._own
        return {name.number: claim for name, claim in claims.items() if name.run_id == run_id and claim.until > now}

    def as_json(self) -> list[dict[str, Any]]:
        """Return the claims of this server, with the seconds that they still last."""
        now = time.monotonic()
        return [
            {**card._asdict(), "device": claim.device, "who": claim.who, "seconds": round(claim.until - now)}
            for card, claim in self._own.items()
            if claim.until > now
        ]

    def restore(self, claims: Any) -> None:
        """Take over the claims that this server had before a restart, as `as_json` returned them."""
        self._own = _from_json(claims) | self._own

    def set_others(self, claims: Any) -> None:
        """Replace the claims of other servers."""
        self._others = _from_json(claims)


def _from_json(claims: Any) -> dict[CardName, Claim]:
    now = time.monotonic()
    found = {}
    for claim in claims if isinstance(claims, list) else []:
        try:
            seconds = min(float(claim["seconds"]), CLAIM_SECONDS)
            name = CardName(str(claim["run_id"]), int(claim["number"]))
            found[name] = Claim(str(claim["device"]), str(claim["who"]), now + seconds)
        except (KeyError, TypeError, ValueError):
            continue
    return found
