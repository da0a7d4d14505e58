"""The recount queue of a finished run, as cards for people."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import duckdb

from reconcile.labels import CountLabels
from reconcile.output.finished_runs import photo_bucket, read_finished_run, unknown_version
from reconcile.reconciliation.results import Results, plain_rows
from reconcile.text import natural_order
from reconcile.verdicts.importing import with_scored_probabilities

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from reconcile.output.store import Output
    from reconcile.storage.base import Bucket


MOST_CARDS = 5000
"""The largest number of bins that a phone gets. Nobody counts more in a shift."""
_MOST_ITEMS = 12
"""The largest number of product names on a card."""
_ADVICE = "name their present location with --bucket"


@dataclass(frozen=True)
class Card:
    """One bin of the queue."""

    number: int
    """The rank in the queue, starting at 1. It names the card in requests."""
    bin_id: str
    parts: tuple[str, ...]
    """The parts of the location, one for each group of the pattern; empty texts for groups without a match."""
    items: tuple[str, ...]
    """Names of the products on record, without quantities."""
    expected_quantity: int
    predicted_label: str
    p_wrong: float | None
    image_key: str
    image_etag: str
    probabilities: tuple[float, ...]
    """The probabilities that p_wrong was computed from."""

    @property
    def verified_by(self) -> tuple[str, str, int]:
        """Return what a verdict must agree with to count for this card: bin, photo and record."""
        return self.bin_id, self.image_etag, self.expected_quantity


@dataclass(frozen=True)
class RecountRun:
    """The queue of one run."""

    run_id: str
    started_at: str
    bucket: str
    labels: tuple[str, ...]
    tolerance: int
    part_names: tuple[str, ...]
    """The names of the location parts, such as aisle."""
    cards: Mapping[int, Card]
    """The cards by number, in the order of their chance to be wrong."""
    walking: tuple[int, ...]
    """The numbers of the cards in walking order."""
    open_photos: Callable[[], Bucket]
    """Opens the bucket of the photos. It raises ReconcileError if that bucket is gone."""

    def verdict_facts(self, card: Card) -> dict[str, Any]:
        """Return what a verdict on a card says about the run and the bin, as columns of the verdicts."""
        return {
            "bin_id": card.bin_id,
            "run_id": self.run_id,
            "run_started_at": self.started_at,
            "bucket": self.bucket,
            "image_key": card.image_key,
            "image_etag": card.image_etag,
            "expected_quantity": card.expected_quantity,
            "p_wrong": card.p_wrong,
            "probabilities": list(card.probabilities),
            "labels": list(self.labels),
        }


def read_queue(output: Output, run_id: str, scratch: Path, pattern: str | None, access: dict[str, Any]) -> RecountRun:
    """Read the queue of a finished run, up to the capacity of the run and `MOST_CARDS`.

    Args:
        output: holds the run.
        run_id: the run.
        scratch: a folder for downloads and for DuckDB.
        pattern: a regular expression with named groups for the location parts; None for the pattern of the run.
        access: the bucket of the photos and the access to it, if they have changed since the run.

    Raises:
        ReconcileError: there is no such run, or an unknown version wrote it.
    """
    summary, reconciled = read_finished_run(output, run_id, scratch)
    pattern = pattern or summary.parameters.get("where")
    try:
        locate = re.compile(pattern) if pattern else None
        with Results(reconciled, CountLabels(tuple(summary.labels)), scratch) as results:
            most = min(summary.capacity, MOST_CARDS)
            rows = plain_rows(results.table("figures/recount_queue", most=most, most_items=_MOST_ITEMS))
        rows = with_scored_probabilities(rows, summary.as_dict())
        cards = {card.number: card for card in (_card(row, locate) for row in rows)}
    except (duckdb.Error, re.error, KeyError, TypeError, ValueError) as error:
        raise unknown_version(run_id, error) from None
    walking = sorted(cards.values(), key=lambda card: [natural_order(part) for part in (*card.parts, card.bin_id)])
    return RecountRun(
        run_id=run_id,
        started_at=summary.started_at,
        bucket=summary.bucket,
        labels=tuple(summary.labels),
        tolerance=summary.tolerance,
        part_names=_part_names(locate),
        cards=cards,
        walking=tuple(card.number for card in walking),
        open_photos=partial(photo_bucket, summary, access, _ADVICE),
    )


def _part_names(locate: re.Pattern[str] | None) -> tuple[str, ...]:
    return () if locate is None else tuple(sorted(locate.groupindex, key=locate.groupindex.__getitem__))


def _card(row: dict[str, Any], locate: re.Pattern[str] | None) -> Card:
    names = dict.fromkeys(item["name"] or item["asin"] or "" for item in row["items"] or [])
    return Card(
        number=int(row["recount_rank"]),
        bin_id=row["bin_id"],
        parts=_parts(row, locate),
        items=tuple(name for name in names if name),
        expected_quantity=int(row["expected_quantity"]),
        predicted_label=str(row["predicted_label"]),
        p_wrong=None if row["p_wrong"] is None else float(row["p_wrong"]),
        image_key=row["image_key"],
        image_etag=row["image_etag"],
        probabilities=tuple(float(prob) for prob in row["probabilities"]),
    )


def _parts(row: dict[str, Any], locate: re.Pattern[str] | None) -> tuple[str, ...]:
    """Return the location parts of a bin. The pattern is applied to the photo's key if it does not match the bin id."""
    if locate is None:
        return ()
    match = locate.search(row["bin_id"]) or locate.search(row["image_key"])
    names = _part_names(locate)
    return tuple((match[name] or "")[:100] for name in names) if match else ("",) * len(names)
