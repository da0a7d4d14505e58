"""The numbers at the top of the report, each beside what it was in the run before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconcile.output.history import figures_of_run
from reconcile.text import percent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconcile.output.history import RunFigures
    from reconcile.output.summary import Summary


@dataclass(frozen=True)
class Tile:
    """One number, ready to be read."""

    name: str
    value: str
    detail: str = ""
    """An interval, or of what the number is a part."""
    before: str | None = None
    """The same number in the run before; None where there was none."""
    needs_attention: bool = False
    """Whether somebody should look into it."""


def overview(summary: Summary, previous: RunFigures | None) -> dict[str, list[Tile]]:
    """The tiles of the night, by group: what is believed of the records, and what needs attention.

    Args:
        summary: this run's numbers.
        previous: the run before over the same bucket, if there was one.
    """
    return {"night": _night(summary, previous), "attention": _attention(summary, previous)}


def _night(summary: Summary, previous: RunFigures | None) -> list[Tile]:
    tonight = figures_of_run(summary.as_dict())
    tiles = [
        Tile("bins", f"{summary.bins:,}", "with a photo or a record", _before(previous, "bins")),
        Tile("photos counted", f"{summary.photos_counted:,}", f"of {summary.images:,}", _before(previous, "counted")),
    ]
    if "stale_after" in summary.parameters:
        tiles.append(Tile("records changed after the photo", f"{tonight.stale or 0:,}", "not compared",
                          _before(previous, "stale")))  # fmt: skip
    # With another tolerance, it was another question.
    comparable = previous if previous and previous.tolerance == summary.tolerance else None
    if summary.record_accuracy:
        detail = f"95%: {summary.record_accuracy['low']:.1%} to {summary.record_accuracy['high']:.1%}"
        if summary.tolerance:
            detail += f"; within {summary.tolerance} items"
        tiles.append(Tile("records right, estimated", percent(tonight.record_accuracy), detail,
                          _before(comparable, "record_accuracy", share=True)))  # fmt: skip
    if summary.expected_wrong:
        tiles.append(Tile("records expected wrong", f"{summary.expected_wrong['value']:,.0f}",
                          _interval(summary.expected_wrong) + summary.found_so_far,
                          _before(previous, "expected_wrong")))  # fmt: skip
    if summary.expected_wrong_in_queue:
        wrong = summary.expected_wrong_in_queue
        tiles.append(Tile(f"of the first {summary.to_recount:,} to recount", f"{wrong['value']:,.0f}",
                          f"expected wrong, {_interval(wrong)}"))  # fmt: skip
    if tonight.agreement is not None:
        tiles.append(Tile("counted as on record", percent(tonight.agreement), "by the photo alone",
                          _before(previous, "agreement", share=True)))  # fmt: skip
    return tiles


def _attention(summary: Summary, previous: RunFigures | None) -> list[Tile]:
    tonight = figures_of_run(summary.as_dict())
    older = f"and {summary.older_photos:,} older ones of bins with a newer" if summary.older_photos else ""
    return [
        Tile(name, f"{number:,}", detail, _before(previous, field), needs_attention=number > 0)
        for name, field, number, detail in (
            ("unreadable images", "unreadable", tonight.unreadable, ""),
            ("invalid records", "invalid", tonight.invalid, ""),
            ("photos without a record", "no_record", tonight.no_record, older),
            ("records without a photo", "no_image", tonight.no_image, ""),
        )
    ]


def _before(previous: RunFigures | None, name: str, *, share: bool = False) -> str | None:
    value = None if previous is None else getattr(previous, name)
    if value is None:
        return None
    return percent(value) if share else f"{value:,.0f}"


def _interval(expected: Mapping[str, float]) -> str:
    return f"95%: {expected['low']:,.0f} to {expected['high']:,.0f}"
