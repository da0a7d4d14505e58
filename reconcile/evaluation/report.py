"""An evaluation in words and tables: plain text for terminals and e-mails, and one HTML file with charts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconcile.evaluation.planted.report import planted_sections, planted_sentence, planted_tiles
from reconcile.evaluation.sections import evaluation_sections
from reconcile.reporting.text_tables import definitions, section_lines, wrap
from reconcile.text import percent, plural

if TYPE_CHECKING:
    from markupsafe import Markup

    from reconcile.evaluation.results import EvaluationRun
    from reconcile.metrics.classification import Evaluation
    from reconcile.reporting.text_tables import Section


_MOST_LEFT_OUT = 20


def evaluation_text(run: EvaluationRun) -> str:
    """The report for a terminal or an e-mail; only a table of many labels is wider than 78 characters."""
    lines = ["Evaluation of a count model", "=" * 27, "", *wrap(" ".join([*_leads(run), *_notes(run.evaluation)]))]
    for section in _sections(run):
        lines += ["", *section_lines(section)]
    lines += ["", "About this evaluation", "-" * 21, "", *definitions(_facts(run))]
    return "\n".join(lines)


def evaluation_page(run: EvaluationRun) -> str:
    """The report as one HTML file: no script, no network, light and dark."""
    from reconcile.reporting.html import render_page

    evaluation = run.evaluation
    whole = evaluation.protocols[0]
    tiles = {
        "photos": f"{evaluation.photos:,}",
        "counted the same": percent(whole.accuracy.value),
        "at most one item off": percent(whole.within_one),
        "typical miss, in items (RMSE)": f"{whole.rmse.value:.2f}",
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
        left_out=run.left_out[:_MOST_LEFT_OUT],
        more_left_out=max(0, len(run.left_out) - _MOST_LEFT_OUT),
    )


def _charts(run: EvaluationRun) -> dict[str, tuple[str, dict[str, Markup]]]:
    """By section: what the chart shows, in a line, and its SVG for each theme."""
    import pandas as pd

    from reconcile.evaluation.planted.chart import planted_chart
    from reconcile.reporting.charts import accuracy_chart, coverage_chart, reliability_chart
    from reconcile.reporting.svg import themed

    evaluation = run.evaluation
    whole = evaluation.protocols[0]
    shown = [(found.label, found.accuracy) for found in whole.classes] + [("all", whole.accuracy)]
    accuracy = pd.DataFrame(
        [
            {
                "count_class": label,
                "accuracy": found.value,
                "accuracy_low": found.low,
                "accuracy_high": found.high,
            }
            for label, found in shown
            if found is not None
        ]
    )
    charts = {
        "classes": (
            "All labels: a bar is the share counted the same, the line on it the 95% interval.",
            themed(accuracy_chart(accuracy)),
        ),
        "calibration": (
            "A point is a range of probabilities, larger for more photos, with its 95% interval. On the dashed line "
            "the probabilities are honest; above it the model is better than it says, below it worse.",
            themed(reliability_chart(evaluation.calibration.bins)),
        ),
        "coverage": (
            "The line is the share counted the same, the band its 95% interval.",
            themed(coverage_chart(evaluation.coverage)),
        ),
    }
    if run.planted is not None:
        charts["planted-numbers"] = (
            "A point is a range of p_wrong, with the 95% interval of the share that is wrong; both axes are stretched "
            "towards 0. On the dashed line p_wrong is honest; above it more records are wrong than it says.",
            themed(planted_chart(run.planted.errors)),
        )
    return charts


def _leads(run: EvaluationRun) -> list[str]:
    """What somebody who reads no further should know; a sentence each."""
    whole = run.evaluation.protocols[0]
    right = round(whole.accuracy.value * whole.photos)
    near = round(whole.within_one * whole.photos)
    sentence = (
        f"Of {plural(whole.photos, 'photo')} with a count on record, the model counted {right:,} the same "
        f"({percent(whole.accuracy.value)}), and {near:,} the same or one item off ({percent(whole.within_one)})."
    )
    return [sentence] if run.planted is None else [planted_sentence(run.planted), sentence]


def _notes(evaluation: Evaluation) -> list[str]:
    whole = evaluation.protocols[0]
    commonest = max(whole.classes, key=lambda found: found.photos)
    sentences = [
        f"Without looking, always saying {commonest.label} would be the same in {percent(whole.commonest)}.",
        "The count on record is taken as the truth, which in a few photos it is not.",
    ]
    if evaluation.not_covered:
        sentences.append(
            f"{plural(evaluation.not_covered, 'further photo')} left out: the model has no label for such a count."
        )
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
        "intervals": f"95%; {evaluation.resamples:,} resamples, seed {evaluation.seed}; photos taken as independent",
        "made by": f"reconcile {run.reconcile_version}",
    }
