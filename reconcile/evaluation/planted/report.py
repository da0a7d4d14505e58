"""Planted discrepancies in words and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconcile.evaluation.planted.benchmark import P_WRONG
from reconcile.reporting.text_tables import Section, Table, percents
from reconcile.text import percent, plural

if TYPE_CHECKING:
    from reconcile.evaluation.planted.results import PlantedErrors, PlantedEvaluation, TopKResult
    from reconcile.metrics.intervals import Estimate


_HEADLINE = 0.05
"""The capacity that the opening sentence speaks of."""
_CAPTIONS = {"slips": "Slips", "uniform": "Uniform errors"}


def planted_sentence(planted: PlantedEvaluation) -> str:
    """How well the queue did, in plain words."""
    first = _headline(planted)
    return (
        f"With {_rate(planted)} of the records altered by a slip, of the first {first.share:.0%} of the queue "
        f"({plural(first.bins, 'bin')}) {_amount(first.wrong.value)} are wrong on average: "
        f"{first.lift.value:.1f} times as many as in random order."
    )


def planted_tiles(planted: PlantedEvaluation) -> dict[str, str]:
    """The same as a number."""
    first = _headline(planted)
    return {f"wrong of the first {plural(first.bins, 'bin')} of the queue": _amount(first.wrong.value)}


def planted_sections(planted: PlantedEvaluation) -> list[Section]:
    """Whether the order is good, and whether the numbers come true."""
    return [_order(planted), _numbers(planted)]


def _order(planted: PlantedEvaluation) -> Section:
    tables = []
    for errors in planted.errors:
        tables += [_methods(errors), _capacities(errors)]
    return Section(
        "planted",
        "Would the queue find wrong records",
        f"The labels are taken for the truth, and the records of {planted.wrong:,} of the {planted.bins:,} bins are "
        f"altered ({_rate(planted)}), {planted.plantings} times over: by slips, mostly of an item or two, as p_wrong "
        "takes errors to be; and by uniform errors, to any other count alike, which it does not expect. Then the bins "
        "are ranked as in a night, and in the ways of others, from the same probabilities.",
        tuple(tables),
        (
            ("AUROC", "how often a wrong record comes before a right one; random order gives 0.500"),
            (
                "AP",
                "average precision: the share that is wrong from the top down to each wrong record, averaged over "
                f"these; random order gives about {planted.wrong / planted.bins:.3f}",
            ),
            ("leads by", "AP of p_wrong minus that of this one, on the same bins and altered records"),
            (
                P_WRONG,
                f"the queue's order. It is told that {_rate(planted)} are wrong, which scales all odds alike and "
                f"changes no order{_correction(planted)}",
            ),
            ("self-confidence", "1 − P(count on record), as cleanlab takes it"),
            ("normalized margin", "the largest other P − P(count on record), as cleanlab takes it"),
            ("disagreement", "whether the count differs from the record; among the same, random order"),
            ("precision", "share of these bins that is wrong"),
            ("recall", "share of all wrong records that is among them"),
            ("lift", "so many times as many wrong records as in random order"),
            ("95%", _interval(planted)),
        ),
    )


def _interval(planted: PlantedEvaluation) -> str:
    return (
        f"mean over the {planted.plantings} times ± 1.96 standard errors, from {planted.resamples:,} resamples of the "
        "bins, each bin with its records of all times: how far both other bins and other altered records could move "
        "the mean"
    )


def _correction(planted: PlantedEvaluation) -> str:
    corrected = sum(errors.corrected for errors in planted.errors)
    if not corrected:
        return ""
    return (
        f"; in {corrected} of {len(planted.errors) * planted.plantings} times all probabilities were first corrected, "
        "as in a night, for another mix of counts than that of the training"
    )


def _methods(errors: PlantedErrors) -> Table:
    rows = tuple(
        (
            method.name,
            f"{method.auroc.value:.3f}",
            f"{method.average_precision.value:.3f}",
            _thousandths(method.average_precision),
            "" if method.lead is None else _signed(method.lead.value),
            "" if method.lead is None else f"{_signed(method.lead.low)} – {_signed(method.lead.high)}",
        )
        for method in errors.methods
    )
    headings = ("ranked by", "AUROC", "AP", "95%", "leads by", "95%")
    return Table(f"planted-{errors.name}-methods", headings, rows, _CAPTIONS[errors.name])


def _capacities(errors: PlantedErrors) -> Table:
    rows = tuple(
        (
            f"{first.share:.0%}, {method.name}",
            f"{first.bins:,}",
            f"{first.wrong.value:.1f}",
            percent(first.precision.value),
            percents(first.precision),
            percent(first.recall.value),
            f"{first.lift.value:.2f}",
        )
        for place in range(len(errors.methods[0].first))
        for method in errors.methods
        for first in [method.first[place]]
    )
    headings = ("the first", "bins", "wrong", "precision", "95%", "recall", "lift")
    return Table(f"planted-{errors.name}-first", headings, rows, f"{_CAPTIONS[errors.name]}: the first bins")


def _numbers(planted: PlantedEvaluation) -> Section:
    tables = []
    for errors in planted.errors:
        tables += [_foretold(errors), _ranges(errors)]
    errors_of = ", ".join(
        f"{percent(errors.calibration_error)} with {_CAPTIONS[errors.name].lower()}" for errors in planted.errors
    )
    return Section(
        "planted-numbers",
        "Do its numbers come true",
        "How many of the first bins p_wrong says are wrong and how many are, and how many of all bins with such a "
        "p_wrong.",
        tuple(tables),
        (
            ("predicted", "what a report says of these bins: the sum of their p_wrong, and its 95% interval"),
            (
                "found",
                f"the wrong ones among them, mean over {planted.plantings} times, and its 95% interval as above",
            ),
            ("one night", "between what numbers it lies in 95% of nights, with other bins and other altered records"),
            ("inside", f"in how many of the {planted.plantings} times it lay inside the predicted interval"),
            ("mean, wrong", "the mean p_wrong of these bins, and the share that is wrong with its 95% interval"),
            (
                "calibration error",
                f"{errors_of}: how far p_wrong and the share that is wrong are apart on average over these ranges; "
                "0% is best",
            ),
        ),
    )


def _foretold(errors: PlantedErrors) -> Table:
    rows = tuple(
        (
            f"{number.share:.0%}",
            f"{number.bins:,}",
            f"{number.predicted:.1f}",
            _numbers_between(number.predicted_range),
            f"{number.found.value:.1f}",
            f"{number.found.low:.1f} – {number.found.high:.1f}",
            _numbers_between(number.one_night),
            f"{number.inside}",
        )
        for number in errors.numbers
    )
    headings = ("the first", "bins", "predicted", "95%", "found", "95%", "one night", "inside")
    caption = f"{_CAPTIONS[errors.name]}: how many of the first bins are wrong"
    return Table(f"planted-{errors.name}-numbers", headings, rows, caption)


def _ranges(errors: PlantedErrors) -> Table:
    rows = tuple(
        (
            f"{100 * found.low:.0f} – {100 * found.high:.0f}%",
            f"{found.bins:,.1f}",
            percent(found.p_wrong),
            percent(found.wrong.value),
            percents(found.wrong),
        )
        for found in errors.ranges
        if found.p_wrong is not None and found.wrong is not None
    )
    headings = (P_WRONG, "bins", "mean", "wrong", "95%")
    return Table(f"planted-{errors.name}-ranges", headings, rows, f"{_CAPTIONS[errors.name]}: all bins by p_wrong")


def _headline(planted: PlantedEvaluation) -> TopKResult:
    """What p_wrong finds of slips in the first bins."""
    return next(first for first in planted.errors[0].methods[0].first if first.share == _HEADLINE)


def _rate(planted: PlantedEvaluation) -> str:
    return f"{100 * planted.rate:.3g}%"


def _amount(number: float) -> str:
    return f"{number:.0f}" if number >= 10 else f"{number:.1f}"


def _thousandths(found: Estimate) -> str:
    return f"{found.low:.3f} – {found.high:.3f}"


def _signed(number: float) -> str:
    return f"{number:+.3f}".replace("-", "−")


def _numbers_between(ends: tuple[float, float]) -> str:
    return f"{ends[0]:.0f} – {ends[1]:.0f}"
