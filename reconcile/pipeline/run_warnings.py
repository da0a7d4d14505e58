"""Warnings at the end of a run: what may be wrong although the run succeeded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconcile.inputs.bin_ids import ids_rarely_match
from reconcile.text import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconcile.output.summary import Summary
    from reconcile.pipeline.context import RunContext
    from reconcile.reconciliation.results import Results


def warn(context: RunContext, results: Results, summary: Summary) -> None:
    """Warn about photos that are no evidence, bin ids that hardly match, and settings without effect.

    Args:
        context: what the run needs.
        results: the reconciled rows.
        summary: the figures of the run. It keeps the warnings about photos, because the report shows them.
    """
    summary.warnings = list(_photo_warnings(results, summary))
    for text in summary.warnings:
        context.log.warn(text)
    _warn_of_settings(context, results, summary)


def _photo_warnings(results: Results, summary: Summary) -> Iterator[str]:
    blank, identical = summary.counts.blank_photos, summary.counts.identical_photos
    if blank:
        yield (
            f"{blank:,} of {summary.images:,} photos {_are(blank)} blank: nearly one colour, as if a cap covered the "
            "lens; do not trust their counts"
        )
    if identical:
        yield (
            f"{identical:,} of {summary.images:,} photos have the same bytes as another photo, as if the camera hung; "
            "do not trust their counts"
        )
    bins, first, last = results.table("figures/bins_in_several_folders").iloc[0]
    if bins:
        yield (
            f"{plural(int(bins), 'bin')} {_have(int(bins))} photos in several folders, such as {first} and {last}; "
            "photos with the same file name belong to one bin, and only the newest is compared"
        )


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _have(number: int) -> str:
    return "has" if number == 1 else "have"


def _warn_of_settings(context: RunContext, results: Results, summary: Summary) -> None:
    settings, log = context.settings, context.log
    # With --limit, the records of most bins were left out, so their number does not show whether the ids match.
    unmatched = summary.without_record
    if not summary.is_limited:
        unmatched = min(unmatched, summary.totals["no_image"])
    if summary.compared and ids_rarely_match(summary.compared, unmatched):
        log.warn(
            f"only {plural(summary.compared, 'bin')} could be compared; check that photos and records use the same bin "
            f"ids ({unmatched_ids(results)})"
        )
    if settings.where is not None and not results.has_match(settings.where):
        log.warn(f"--where {settings.where}: the pattern matches no bin id and no photo key")
    without_value = results.count_without_value() if settings.rank_by == "value" else 0
    if without_value:
        log.warn(
            f"--rank-by value: {without_value:,} of {summary.counts.queued:,} bins in the queue have no item with a "
            "known cost; these bins come last, ordered by the probability that the record is wrong"
        )
    without_times = 0 if settings.stale_after is None else results.count_without_times()
    if without_times:
        log.warn(
            f"--stale-after: for {without_times:,} of {summary.compared:,} compared bins, the time of the photo or of "
            "the record's last change is unknown"
        )


def unmatched_ids(results: Results) -> str:
    """Return an example of a photo without a record and, if there is one, of a record without a photo."""
    photo, record = results.table("figures/unmatched").iloc[0]
    return f"photos such as {photo}" + (f", records such as {record}" if isinstance(record, str) else " have no record")
