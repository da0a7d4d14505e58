"""The evaluation as text and HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from reconcile.evaluation.planted.chart import planted_chart
from reconcile.evaluation.planted.report import planted_sections, planted_sentence, planted_tiles
from reconcile.evaluation.sections import evaluation_sections
from reconcile.reporting.charts import accuracy_chart, coverage_chart, reliability_chart
from reconcile.reporting.html import render_page
from reconcile.reporting.svg import themed
from reconcile.reporting.text_tables import definitions, section_lines, wrap
from reconcile.text import percent, plural

if TYPE_CHECKING:
    from markupsafe import Markup

    from reconcile.evaluation.results import EvaluationRun
    from reconcile.metrics.classification import Evaluation
    from reconcile.reporting.text_tables import Section


_MAX_LEFT_OUT = 20
"""The number of left-out photos that the page lists."""


def evaluation_text(run: EvaluationRun) -> str:
    """Return the report for a terminal or an e-mail. Only a table of many labels is wider than 78 characters."""
    lines = ["Evaluation of a count model", "=" * 27, "", *wrap(" ".join([*_leads(run), *_notes(run.evaluation)]))]
    for section in _sections(run):
        lines += ["", *section_lines(section)]
    lines += ["", "About this evaluation", "-" * 21, "", *definitions(_facts(run))]
    return "\n".join(lines)


def evaluation_page(run: EvaluationRun) -> str:
    """Return the report as one HTML file without scripts and network access, for light and dark themes."""
    evaluation = run.evaluation
    whole = evaluation.protocols[0]
    tiles = {
        "photos": f"{evaluation.photos:,}",
        "photo agrees with record": percent(whole.accuracy.value),
        "at most one item off": percent(whole.within_one),
        "RMSE, in items": f"{whole.rmse.value:.2f}",
    }
    return render_page(
        "evaluation.html.j2",
        model_file=run.model_file,
        data=run.data,
        leads=_leads(run),
        notes=_notes(evaluation),
        tiles=tiles if run.planted is None else tiles | planted_tiles(run.planted),
        sections=_sections(run),
        charts=_charts(run),
        facts=_facts(run),
        left_out=run.left_out[:_MAX_LEFT_OUT],
        more_left_out=max(0, len(run.left_out) - _MAX_LEFT_OUT),
    )


def _charts(run: EvaluationRun) -> dict[str, tuple[str, dict[str, Markup]]]:
    """Return the caption and the SVG for each theme, by section."""
    evaluation = run.evaluation
    whole = evaluation.protocols[0]
    bars = [(result.label, result.accuracy) for result in whole.classes] + [("all", whole.accuracy)]
    accuracy = pd.DataFrame(
        [
            {
                "count_class": label,
                "accuracy": estimate.value,
                "accuracy_low": estimate.low,
                "accuracy_high": estimate.high,
            }
            for label, estimate in bars
            if estimate is not None
        ]
    )
    charts = {
        "classes": (
            "With all labels to choose from: a bar is the fraction of photos that agree with the record. The line on "
            "the bar is its 95% interval.",
            themed(accuracy_chart(accuracy)),
        ),
        "calibration": (
            "A point is a range of probabilities, with its 95% interval. A larger point has more photos. On the dashed "
            "line, probability and agreement are equal. Above it the model is underconfident, below it overconfident.",
            themed(reliability_chart(evaluation.calibration.bins)),
        ),
        "coverage": (
            "The line is the fraction of kept photos that agree with the record. The band is its 95% interval.",
            themed(coverage_chart(evaluation.coverage)),
        ),
    }
    if run.planted is not None:
        charts["planted-numbers"] = (
            "A point is a range of p_wrong, with the 95% interval of the fraction of wrong records. Both axes are "
            "stretched near 0. On the dashed line, p_wrong equals that fraction. Above it, more records are wrong than "
            "p_wrong predicts.",
            themed(planted_chart(run.planted.errors)),
        )
    return charts


def _leads(run: EvaluationRun) -> list[str]:
    """Return the main results as paragraphs."""
    whole = run.evaluation.protocols[0]
    agreeing = round(whole.accuracy.value * whole.photos)
    near = round(whole.within_one * whole.photos)
    lead = (
        f"We compared the counts of {plural(whole.photos, 'photo')} with their records. The model agreed with "
        f"{plural(agreeing, 'record')} ({percent(whole.accuracy.value)}). In {plural(near, 'photo')} "
        f"({percent(whole.within_one)}) it was at most one item off."
    )
    return [lead] if run.planted is None else [planted_sentence(run.planted), lead]


def _notes(evaluation: Evaluation) -> list[str]:
    whole = evaluation.protocols[0]
    most_frequent = max(whole.classes, key=lambda result: result.photos)
    sentences = [
        f"A model that always answers {most_frequent.label} would agree with {percent(whole.commonest)} of the "
        "records.",
        "This evaluation takes every record as the truth, although a few records are wrong.",
    ]
    if evaluation.not_covered:
        photos = plural(evaluation.not_covered, "more photo", "more photos")
        verb = "was" if evaluation.not_covered == 1 else "were"
        sentences.append(f"{photos} {verb} left out, because the model has no label for such a count.")
    return sentences


def _sections(run: EvaluationRun) -> list[Section]:
    planted = [] if run.planted is None else planted_sections(run.planted)
    return planted + evaluation_sections(run.evaluation)


def _facts(run: EvaluationRun) -> dict[str, str]:
    evaluation = run.evaluation
    fold = "all folds" if run.fold is None else f"only fold {run.fold}"
    return {
        "model": f"{run.model_id} ({run.model_file}), on {run.provider}",
        "labels": ", ".join(evaluation.labels),
        "photos": f"{run.data}, {fold}, fingerprint {run.data_fingerprint}",
        "left out": f"{run.unreadable:,} unreadable, {evaluation.not_covered:,} with a count that no label covers, "
        f"{len(run.left_out) - run.unreadable:,} without a usable label",
        "intervals": f"95%; {evaluation.resamples:,} resamples, seed {evaluation.seed}; photos count as independent",
        "made by": f"reconcile {run.reconcile_version}",
    }
