"""The questions that an evaluation answers, each with its tables and what their terms mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from reconcile.reporting.text_tables import Section, Table, percents
from reconcile.text import percent

if TYPE_CHECKING:
    from reconcile.metrics.calibration import Calibration
    from reconcile.metrics.classification import Evaluation, ProtocolResult


_PROTOCOL_WORDS = {
    "all labels": "every photo, and every answer the model has",
    "counts 0 to 5": "only photos with 0 to 5 items on record, and only these answers: the public baseline's figures",
    "counts 1 to 5": "only photos with 1 to 5 items on record, and only these answers: those of most tutorials",
}


def evaluation_sections(evaluation: Evaluation) -> list[Section]:
    """In the order of the report; that of original and squashed photos only where somebody says which are."""
    sections = [
        _protocols(evaluation),
        _classes(evaluation),
        _confusion(evaluation),
        _said(evaluation),
        _calibration(evaluation),
        _coverage(evaluation),
    ]
    return [*sections, _origins(evaluation)] if evaluation.origins else sections


def _protocols(evaluation: Evaluation) -> Section:
    rows = tuple((found.name, *_figures(found)) for found in evaluation.protocols)
    words = [(found.name, _PROTOCOL_WORDS[found.name]) for found in evaluation.protocols]
    words += [(found.name, f"left out: {found.reason}") for found in evaluation.left_out_protocols]
    words += [
        ("the same", "share of photos counted as on record"),
        ("RMSE", f"the typical miss, in items: the root of the mean squared error; {_open_words(evaluation)}"),
        ("≤ 1 off", "share of photos counted as on record or one item off"),
        ("95%", f"how far another choice of photos could move the figure ({evaluation.resamples:,} resamples)"),
    ]
    return Section(
        "protocols",
        "How often is the count right",
        "In a row for each way to ask, so that the figures can be held against those of others.",
        (Table("protocols-table", ("", "photos", "the same", "95%", "RMSE", "95%", "≤ 1 off"), rows),),
        tuple(words),
    )


def _open_words(evaluation: Evaluation) -> str:
    last = evaluation.labels[-1]
    return f"{last} counts as {last[:-1]}" if last.endswith("+") else "every label is its number"


def _figures(found: ProtocolResult) -> tuple[str, ...]:
    return (
        f"{found.photos:,}",
        percent(found.accuracy.value),
        percents(found.accuracy),
        f"{found.rmse.value:.2f}",
        f"{found.rmse.low:.2f} – {found.rmse.high:.2f}",
        percent(found.within_one),
    )


def _classes(evaluation: Evaluation) -> Section:
    tables = []
    for place, protocol in enumerate(evaluation.protocols):
        rows = [
            (
                found.label,
                f"{found.photos:,}",
                percent(found.accuracy.value) if found.accuracy else "–",
                percents(found.accuracy),
                "–" if found.rmse is None else f"{found.rmse:.2f}",
                "–" if found.within_one is None else percent(found.within_one),
            )
            for found in protocol.classes
        ]
        photos, same, interval, rmse, _, near = _figures(protocol)
        rows.append(("all", photos, same, interval, rmse, near))
        headings = ("on record", "photos", "the same", "95%", "RMSE", "≤ 1 off")
        caption = protocol.name[0].upper() + protocol.name[1:]
        tables.append(Table(f"classes-table-{place}", headings, tuple(rows), caption, total=True))
    return Section(
        "classes",
        "How good is it at each count",
        "By the count on record; columns as above. The fewer the photos, the wider the interval (Wilson's; in the last "
        "row the one from above).",
        tuple(tables),
    )


def _confusion(evaluation: Evaluation) -> Section:
    matrix = np.array(evaluation.confusion)
    sums = matrix.sum(axis=1)
    rows = tuple(
        (label, *(f"{photos:,}" if photos else "·" for photos in row), f"{total:,}")
        for label, row, total in zip(evaluation.labels, evaluation.confusion, sums.tolist(), strict=True)
    )
    heat = tuple(tuple(row) for row in (matrix / np.maximum(sums, 1)[:, None]).tolist())
    headings = ("on record", *evaluation.labels, "photos")
    return Section(
        "confusion",
        "What was counted instead",
        "A row: the photos with that count on record. A column: what the model counted. From top left to bottom right "
        "lie the photos counted the same.",
        (Table("confusion-table", headings, rows, heat=heat),),
    )


def _said(evaluation: Evaluation) -> Section:
    rows = tuple(
        (
            found.label,
            f"{found.photos:,}",
            percent(found.precision.value) if found.precision else "–",
            percents(found.precision),
        )
        for found in evaluation.said
    )
    return Section(
        "said",
        "How far to trust a count",
        "When the model counts so many: in how many photos it does, and how often the record says the same then.",
        (Table("said-table", ("counted", "photos", "right then", "95%"), rows),),
    )


def _calibration(evaluation: Evaluation) -> Section:
    found = evaluation.calibration
    labels = len(evaluation.labels)
    errors = [(protocol.name, percent(protocol.calibration_error)) for protocol in evaluation.protocols]
    rows = tuple(
        (
            f"{100 * row.low:.0f} – {100 * row.high:.0f}%",
            f"{row.photos:,}",
            percent(row.probability),
            percent(row.accuracy.value),
            percents(row.accuracy),
        )
        for row in found.bins
        if row.accuracy is not None and row.probability is not None
    )
    return Section(
        "calibration",
        "Do the probabilities mean what they say",
        "The model gives each count a probability. If that is honest, of the photos counted with 70% about 70 in 100 "
        "are right.",
        (
            Table("calibration-table", ("", "calibration error"), tuple(errors)),
            Table("reliability-table", ("probability", "photos", "mean", "the same", "95%"), rows),
        ),
        (
            (
                "calibration error",
                f"how far probability and share of right counts are apart on average, over {len(found.bins)} ranges of "
                f"equal width (Guo et al. 2017); 0% is best, but with so few photos even true probabilities would be "
                f"{percent(found.by_chance)} apart on average (all labels), and in 95 of 100 cases at most "
                f"{percent(found.by_chance_at_most)} (Bröcker and Smith 2007)",
            ),
            *_without_chance(found),
            (
                "mean of −ln P",
                f"{found.negative_log_likelihood:.3f}, P being the probability given to the count on record; 0 is "
                f"best, equal probabilities give {np.log(labels):.3f}",
            ),
            (
                "Brier score",
                f"{found.brier:.3f}, the mean squared error of all probabilities of a photo, summed over the labels; "
                f"0 is best, equal probabilities give {1 - 1 / labels:.3f}",
            ),
        ),
    )


def _without_chance(found: Calibration) -> tuple[tuple[str, str], ...]:
    error = found.without_chance
    if error is None:
        return ()
    meaning = (
        f"{percent(error.value)} ({percents(error)}), root mean square over the same ranges after what chance adds is "
        "taken off (Kumar et al. 2019): its square is 0 on average where probabilities are true, however few the photos"
    )
    return (("without chance", meaning),)


def _coverage(evaluation: Evaluation) -> Section:
    rows = tuple(
        (
            f"{point.share:.0%}",
            f"{point.photos:,}",
            percent(point.least_probability),
            percent(point.accuracy.value),
            percents(point.accuracy),
        )
        for point in reversed(evaluation.coverage[9::10])
    )
    return Section(
        "coverage",
        "What if only certain counts are used",
        "The photos are sorted by the probability of their count, and only the most certain ones are kept.",
        (Table("coverage-table", ("kept", "photos", "from", "the same", "95%"), rows),),
        (("from", "the probability that a count needs to be kept"), ("the same", "share of the kept photos")),
    )


def _origins(evaluation: Evaluation) -> Section:
    rows = tuple(
        (
            "squashed to 224 x 224" if found.squashed else "in its own proportions",
            f"{found.photos:,}",
            percent(found.accuracy.value),
            percents(found.accuracy),
            f"{found.rmse.value:.2f}",
            f"{found.rmse.low:.2f} – {found.rmse.high:.2f}",
        )
        for found in evaluation.origins
    )
    return Section(
        "origins",
        "Original and squashed photos",
        "Some photos were squashed to a small square before they got here. Where a warehouse's own photos are not, the "
        "first row says more about them.",
        (Table("origins-table", ("photo", "photos", "the same", "95%", "RMSE", "95%"), rows),),
    )
