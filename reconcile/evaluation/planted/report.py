"""The benchmark as text and HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconcile.evaluation.planted.benchmark import P_WRONG
from reconcile.reporting.text_tables import Section, Table, percents
from reconcile.text import percent, plural

if TYPE_CHECKING:
    from reconcile.evaluation.planted.results import PlantedErrors, PlantedEvaluation, TopKResult
    from reconcile.metrics.intervals import Estimate


_HEADLINE = 0.05
"""The capacity in the opening sentence."""
_CAPTIONS = {"slips": "Slips", "uniform": "Uniform errors"}


def planted_sentence(planted: PlantedEvaluation) -> str:
    """Return the main result as a paragraph."""
    first = _headline(planted)
    return (
        f"We altered {_rate(planted)} of the records on purpose, most of them by one or two items. Among the first "
        f"{first.share:.0%} of the queue ({plural(first.bins, 'bin')}), {_amount(first.wrong.value)} records were "
        f"wrong on average. That is {first.lift.value:.1f} times as many as in random order."
    )


def planted_tiles(planted: PlantedEvaluation) -> dict[str, str]:
    """Return the main result as a tile: its name and its value."""
    first = _headline(planted)
    return {f"wrong records in the first {plural(first.bins, 'bin')} of the queue": _amount(first.wrong.value)}


def planted_sections(planted: PlantedEvaluation) -> list[Section]:
    """Return the sections about the order of the queue, and about its numbers."""
    return [_order(planted), _numbers(planted)]


def _order(planted: PlantedEvaluation) -> Section:
    tables = []
    for errors in planted.errors:
        tables += [_methods(errors), _capacities(errors)]
    return Section(
        "planted",
        "Finding altered records",
        f"We took the labels as the truth and altered the records of {planted.wrong:,} of the {planted.bins:,} bins "
        f"({_rate(planted)}), {planted.plantings} times. Slips are mostly off by an item or two, as p_wrong assumes. "
        "Uniform errors may be of any size, which p_wrong does not assume. Then every method ranked the bins from the "
        "same probabilities, as in a run.",
        tuple(tables),
        (
            ("AUROC", "probability that a wrong record comes before a correct one; random order has 0.500"),
            (
                "AP",
                "average precision: fraction of wrong records from the top down to each wrong record, averaged over "
                f"the wrong records; random order has about {planted.wrong / planted.bins:.3f}",
            ),
            ("ahead by", "AP of p_wrong minus AP of this method, on the same bins and altered records"),
            (
                P_WRONG,
                f"order of the queue. p_wrong knows the error rate of {_rate(planted)}, which scales all odds alike "
                f"and does not change the order{_correction(planted)}",
            ),
            ("self-confidence", "1 − P(count on record), as in cleanlab"),
            ("normalized margin", "largest other P − P(count on record), as in cleanlab"),
            ("disagreement", "whether the count differs from the record; ties are in random order"),
            ("precision", "fraction of these bins that is wrong"),
            ("recall", "fraction of all wrong records that is in these bins"),
            ("lift", "number of wrong records, divided by the number in random order"),
            ("95%", _interval_words(planted)),
        ),
    )


def _interval_words(planted: PlantedEvaluation) -> str:
    return (
        f"mean over the {planted.plantings} repetitions ± 1.96 standard errors, from {planted.resamples:,} resamples "
        "of the bins, each with its records of all repetitions. It includes the choice of the bins and of the altered "
        "records"
    )


def _correction(planted: PlantedEvaluation) -> str:
    corrected = sum(errors.corrected for errors in planted.errors)
    if not corrected:
        return ""
    return (
        f". In {corrected} of {len(planted.errors) * planted.plantings} repetitions, all probabilities were first "
        "corrected for label shift, as in a run"
    )


def _methods(errors: PlantedErrors) -> Table:
    rows = tuple(
        (
            method.name,
            f"{method.auroc.value:.3f}",
            f"{method.average_precision.value:.3f}",
            _range(method.average_precision),
            "" if method.lead is None else _signed(method.lead.value),
            "" if method.lead is None else f"{_signed(method.lead.low)} – {_signed(method.lead.high)}",
        )
        for method in errors.methods
    )
    headings = ("ranked by", "AUROC", "AP", "95%", "ahead by", "95%")
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
        for number in range(len(errors.methods[0].first))
        for method in errors.methods
        for first in [method.first[number]]
    )
    headings = ("the first", "bins", "wrong", "precision", "95%", "recall", "lift")
    return Table(f"planted-{errors.name}-first", headings, rows, f"{_CAPTIONS[errors.name]}: the first bins")


def _numbers(planted: PlantedEvaluation) -> Section:
    tables = []
    for errors in planted.errors:
        tables += [_predicted(errors), _ranges(errors)]
    calibration_errors = ", ".join(
        f"{percent(errors.calibration_error)} with {_CAPTIONS[errors.name].lower()}" for errors in planted.errors
    )
    return Section(
        "planted-numbers",
        "Predicted and true numbers of wrong records",
        "For the first bins of the queue, the tables compare the number of wrong records that p_wrong predicts with "
        "the number found. For all bins, they compare p_wrong with the fraction of wrong records, by range of p_wrong.",
        tuple(tables),
        (
            ("predicted", "sum of p_wrong of these bins, with its 95% interval, as the report of a run states it"),
            (
                "found",
                f"number of wrong records among these bins, mean over {planted.plantings} repetitions, with its 95% "
                "interval as above",
            ),
            ("one run", "range of this number in 95% of runs with other bins and other altered records"),
            ("inside", f"in how many of the {planted.plantings} repetitions it was inside the predicted interval"),
            ("mean, wrong", "mean p_wrong of these bins, and the fraction of wrong records, with its 95% interval"),
            (
                "calibration error",
                f"{calibration_errors}: average difference between p_wrong and the fraction of wrong records, over "
                "these ranges. 0% is best",
            ),
        ),
    )


def _predicted(errors: PlantedErrors) -> Table:
    rows = tuple(
        (
            f"{number.share:.0%}",
            f"{number.bins:,}",
            f"{number.predicted:.1f}",
            _whole_numbers(number.predicted_range),
            f"{number.found.value:.1f}",
            f"{number.found.low:.1f} – {number.found.high:.1f}",
            _whole_numbers(number.one_night),
            f"{number.inside}",
        )
        for number in errors.numbers
    )
    headings = ("the first", "bins", "predicted", "95%", "found", "95%", "one run", "inside")
    caption = f"{_CAPTIONS[errors.name]}: wrong records among the first bins"
    return Table(f"planted-{errors.name}-numbers", headings, rows, caption)


def _ranges(errors: PlantedErrors) -> Table:
    rows = tuple(
        (
            f"{100 * bin_.low:.0f} – {100 * bin_.high:.0f}%",
            f"{bin_.bins:,.1f}",
            percent(bin_.p_wrong),
            percent(bin_.wrong.value),
            percents(bin_.wrong),
        )
        for bin_ in errors.ranges
        if bin_.p_wrong is not None and bin_.wrong is not None
    )
    headings = (P_WRONG, "bins", "mean", "wrong", "95%")
    return Table(f"planted-{errors.name}-ranges", headings, rows, f"{_CAPTIONS[errors.name]}: all bins by p_wrong")


def _headline(planted: PlantedEvaluation) -> TopKResult:
    """Return the result of p_wrong on slips at the capacity of the opening sentence."""
    return next(first for first in planted.errors[0].methods[0].first if first.share == _HEADLINE)


def _rate(planted: PlantedEvaluation) -> str:
    return f"{100 * planted.rate:.3g}%"


def _amount(number: float) -> str:
    return f"{number:.0f}" if number >= 10 else f"{number:.1f}"


def _range(estimate: Estimate) -> str:
    return f"{estimate.low:.3f} – {estimate.high:.3f}"


def _signed(number: float) -> str:
    return f"{number:+.3f}".replace("-", "−")


def _whole_numbers(limits: tuple[float, float]) -> str:
    return f"{limits[0]:.0f} – {limits[1]:.0f}"
