"""Headline figures of the report, next to those of the previous run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconcile.output.history import figures_of_run
from reconcile.text import percent, plural

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconcile.output.history import RunFigures
    from reconcile.output.summary import Summary


@dataclass(frozen=True)
class Tile:
    """One figure as text."""

    name: str
    value: str
    detail: str = ""
    """An interval, or the total that the figure is a part of."""
    before: str | None = None
    """The same figure of the previous run, or None."""
    needs_attention: bool = False
    """True if somebody should look into the figure."""


def overview(summary: Summary, previous: RunFigures | None) -> dict[str, list[Tile]]:
    """Return the tiles of the report in two groups: `figures` and `attention`.

    Args:
        summary: the figures of this run.
        previous: the figures of the previous run over the same bucket, or None.
    """
    return {"figures": _figures(summary, previous), "attention": _attention(summary, previous)}


def _figures(summary: Summary, previous: RunFigures | None) -> list[Tile]:
    current = figures_of_run(summary.as_dict())
    counts = summary.counts
    tiles = [
        Tile("bins", f"{counts.bins:,}", "with a photo or a record", _before(previous, "bins")),
        Tile("photos counted", f"{counts.photos_counted:,}", f"of {summary.images:,}", _before(previous, "counted")),
    ]
    if "stale_after" in summary.parameters:
        tiles.append(Tile("records changed after the photo", f"{current.stale or 0:,}", "not compared",
                          _before(previous, "stale")))  # fmt: skip
    # Accuracies with different tolerances cannot be compared.
    comparable = previous if previous and previous.tolerance == summary.tolerance else None
    if summary.record_accuracy:
        detail = f"95% interval: {summary.record_accuracy['low']:.1%} to {summary.record_accuracy['high']:.1%}"
        if summary.tolerance:
            detail += f"; within {summary.tolerance} items"
        tiles.append(Tile("records probably correct", percent(current.record_accuracy), detail,
                          _before(comparable, "record_accuracy", as_percent=True)))  # fmt: skip
    if summary.expected_wrong:
        tiles.append(Tile("records probably wrong", f"{summary.expected_wrong['value']:,.0f}",
                          _interval(summary.expected_wrong) + _recounted_wrong(summary),
                          _before(previous, "expected_wrong")))  # fmt: skip
    if summary.expected_wrong_in_queue:
        wrong = summary.expected_wrong_in_queue
        tiles.append(Tile(f"probably wrong in the first {plural(summary.to_recount, 'bin')}", f"{wrong['value']:,.0f}",
                          _interval(wrong)))  # fmt: skip
    if current.agreement is not None:
        tiles.append(Tile("photo agrees with record", percent(current.agreement),
                          f"of {summary.compared:,} compared bins",
                          _before(previous, "agreement", as_percent=True)))  # fmt: skip
    return tiles


def _attention(summary: Summary, previous: RunFigures | None) -> list[Tile]:
    current = figures_of_run(summary.as_dict())
    older_photos = summary.counts.older_photos
    older = f"and {older_photos:,} older photos of bins that have a newer one" if older_photos else ""
    return [
        Tile(name, f"{number:,}", detail, _before(previous, field), needs_attention=number > 0)
        for name, field, number, detail in (
            ("unreadable photos", "unreadable", current.unreadable, ""),
            ("invalid records", "invalid", current.invalid, ""),
            ("photos without a record", "no_record", current.no_record, older),
            ("records without a photo", "no_image", current.no_image, ""),
        )
    ]


def _before(previous: RunFigures | None, name: str, *, as_percent: bool = False) -> str | None:
    value = None if previous is None else getattr(previous, name)
    if value is None:
        return None
    return percent(value) if as_percent else f"{value:,.0f}"


def _interval(expected: Mapping[str, float]) -> str:
    return f"95% interval: {expected['low']:,.0f} to {expected['high']:,.0f}"


def _recounted_wrong(summary: Summary) -> str:
    """Return how many of the wrong records recounts have found, as the end of a sentence."""
    return f"; recounts found {summary.found_wrong:,} of them" if summary.found_wrong else ""
