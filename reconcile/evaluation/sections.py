"""The sections of the evaluation report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from reconcile.reporting.text_tables import Section, Table, percents
from reconcile.text import percent

if TYPE_CHECKING:
    from reconcile.metrics.calibration import Calibration
    from reconcile.metrics.classification import Evaluation, ProtocolResult
    from reconcile.metrics.intervals import Estimate


_PROTOCOL_WORDS = {
    "all labels": "all photos; the model may choose any label",
    "counts 0 to 5": "only photos with 0 to 5 items on record, and only these labels to choose from; the public "
    "baseline reports these figures",
    "counts 1 to 5": "only photos with 1 to 5 items on record, and only these labels to choose from; most tutorials "
    "report these figures",
}


def evaluation_sections(evaluation: Evaluation) -> list[Section]:
    """Return the sections in the order of the report.

    The section about original and resized photos is missing if it is unknown which photos were resized.
    """
    sections = [
        _protocols(evaluation),
        _classes(evaluation),
        _confusion(evaluation),
        _by_prediction(evaluation),
        _calibration(evaluation),
        _coverage(evaluation),
    ]
    return [*sections, _origins(evaluation)] if evaluation.origins else sections


def _protocols(evaluation: Evaluation) -> Section:
    rows = tuple((result.name, *_figures(result)) for result in evaluation.protocols)
    words = [(result.name, _PROTOCOL_WORDS[result.name]) for result in evaluation.protocols]
    words += [(protocol.name, f"no result: {protocol.reason}") for protocol in evaluation.left_out_protocols]
    words += [
        ("agree", "fraction of photos whose count agrees with the record"),
        ("RMSE", f"root mean squared error, in items; {_open_label_words(evaluation)}"),
        ("≤ 1 off", "fraction of photos that are at most one item off"),
        ("95%", f"interval of the figure over other choices of photos ({evaluation.resamples:,} resamples)"),
    ]
    return Section(
        "protocols",
        "Agreement with the record",
        "Other projects count only some photos or labels. The rows do the same, so that you can compare the figures.",
        (Table("protocols-table", ("", "photos", "agree", "95%", "RMSE", "95%", "≤ 1 off"), rows),),
        tuple(words),
    )


def _open_label_words(evaluation: Evaluation) -> str:
    last = evaluation.labels[-1]
    return f"{last} counts as {last[:-1]}" if last.endswith("+") else "every label counts as its number"


def _figures(result: ProtocolResult) -> tuple[str, ...]:
    return (
        f"{result.photos:,}",
        percent(result.accuracy.value),
        percents(result.accuracy),
        f"{result.rmse.value:.2f}",
        _range(result.rmse),
        percent(result.within_one),
    )


def _range(estimate: Estimate) -> str:
    return f"{estimate.low:.2f} – {estimate.high:.2f}"


def _classes(evaluation: Evaluation) -> Section:
    tables = []
    for number, protocol in enumerate(evaluation.protocols):
        rows = [
            (
                result.label,
                f"{result.photos:,}",
                percent(result.accuracy.value if result.accuracy else None),
                percents(result.accuracy),
                "–" if result.rmse is None else f"{result.rmse:.2f}",
                percent(result.within_one),
            )
            for result in protocol.classes
        ]
        photos, agree, interval, rmse, _, near = _figures(protocol)
        rows.append(("all", photos, agree, interval, rmse, near))
        headings = ("on record", "photos", "agree", "95%", "RMSE", "≤ 1 off")
        caption = protocol.name[0].upper() + protocol.name[1:]
        tables.append(Table(f"classes-table-{number}", headings, tuple(rows), caption, total=True))
    return Section(
        "classes",
        "Agreement by count on record",
        "Each row is for one quantity on record. The columns are the same as above. The intervals of single "
        "quantities are Wilson's. The fewer photos there are, the wider the interval. The last row repeats the "
        "interval from above.",
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
        "What the model counted instead",
        "Each number is a number of photos. The row is the quantity on record, and the column is the model's count. On "
        "the diagonal, photo and record agree.",
        (Table("confusion-table", headings, rows, heat=heat),),
    )


def _by_prediction(evaluation: Evaluation) -> Section:
    rows = tuple(
        (
            result.label,
            f"{result.photos:,}",
            percent(result.precision.value if result.precision else None),
            percents(result.precision),
        )
        for result in evaluation.said
    )
    return Section(
        "said",
        "Agreement by count of the model",
        "Each row is for one count by the model. It shows how often the record agrees.",
        (Table("said-table", ("counted", "photos", "agree", "95%"), rows),),
    )


def _calibration(evaluation: Evaluation) -> Section:
    calibration = evaluation.calibration
    labels = len(evaluation.labels)
    errors = [(protocol.name, percent(protocol.calibration_error)) for protocol in evaluation.protocols]
    rows = tuple(
        (
            f"{100 * bin_.low:.0f} – {100 * bin_.high:.0f}%",
            f"{bin_.photos:,}",
            percent(bin_.probability),
            percent(bin_.accuracy.value),
            percents(bin_.accuracy),
        )
        for bin_ in calibration.bins
        if bin_.accuracy is not None and bin_.probability is not None
    )
    return Section(
        "calibration",
        "Calibration of the probabilities",
        "The model gives each count a probability. If the probabilities are true, about 70 of 100 photos counted with "
        "70% agree with the record.",
        (
            Table("calibration-table", ("", "calibration error"), tuple(errors)),
            Table("reliability-table", ("probability", "photos", "mean", "agree", "95%"), rows),
        ),
        (
            (
                "calibration error",
                f"average difference between probability and agreement, over {len(calibration.bins)} ranges of equal "
                "width (Guo et al. 2017). 0% is best. With so few photos, true probabilities (all labels) would have "
                f"{percent(calibration.by_chance)} on average, and at most {percent(calibration.by_chance_at_most)} in "
                "95 of 100 cases (Bröcker and Smith 2007)",
            ),
            *_unbiased_error(calibration),
            (
                "mean −ln P",
                f"{calibration.negative_log_likelihood:.3f}, where P is the probability of the count on record. 0 is "
                f"best; equal probabilities have {np.log(labels):.3f}",
            ),
            (
                "Brier score",
                f"{calibration.brier:.3f}, the squared error of the probabilities of a photo, summed over the labels. "
                f"0 is best; equal probabilities have {1 - 1 / labels:.3f}",
            ),
        ),
    )


def _unbiased_error(calibration: Calibration) -> tuple[tuple[str, str], ...]:
    error = calibration.without_chance
    if error is None:
        return ()
    meaning = (
        f"{percent(error.value)} ({percents(error)}), the root mean square of the difference over the same ranges, "
        "without the part that chance adds (Kumar et al. 2019). If the probabilities are true, its square is 0 on "
        "average, for any number of photos"
    )
    return (("unbiased error", meaning),)


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
        "Agreement of the most certain photos",
        "The photos are sorted by the probability of their count. Each row keeps only the most certain ones.",
        (Table("coverage-table", ("kept", "photos", "from", "agree", "95%"), rows),),
        (
            ("from", "lowest probability of a kept photo"),
            ("agree", "fraction of the kept photos that agree with the record"),
        ),
    )


def _origins(evaluation: Evaluation) -> Section:
    rows = tuple(
        (
            "resized to 224 x 224" if result.squashed else "original proportions",
            f"{result.photos:,}",
            percent(result.accuracy.value),
            percents(result.accuracy),
            f"{result.rmse.value:.2f}",
            _range(result.rmse),
        )
        for result in evaluation.origins
    )
    return Section(
        "origins",
        "Original and resized photos",
        "Some photos were resized to a small square before we got them, which changes their proportions. If your "
        "photos have their original proportions, the first row says more about them.",
        (Table("origins-table", ("photo", "photos", "agree", "95%", "RMSE", "95%"), rows),),
    )
