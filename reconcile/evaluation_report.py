"""An evaluation in words and tables: plain text for terminals and e-mails, and one HTML file with charts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from reconcile.evaluation_tables import (
    Section,
    Table,
    definitions,
    percent,
    percents,
    section_lines,
    so_many,
    wrap,
)
from reconcile.planted_report import planted_sections, planted_sentence, planted_tiles

if TYPE_CHECKING:
    from markupsafe import Markup

    from reconcile.evaluation import Evaluation, ProtocolResult
    from reconcile.evaluation_run import EvaluationRun

_MOST_LEFT_OUT = 20
_PROTOCOL_WORDS = {
    "all labels": "every photo, and every answer the model has",
    "counts 0 to 5": "only photos with 0 to 5 items on record, and only these answers: the public baseline's figures",
    "counts 1 to 5": "only photos with 1 to 5 items on record, and only these answers: those of most tutorials",
}


def evaluation_text(run: EvaluationRun) -> str:
    """The report for a terminal or an e-mail; only a table of many labels is wider than 78 characters."""
    lines = ["Evaluation of a count model", "=" * 27, "", *wrap(" ".join([*_leads(run), *_notes(run.evaluation)]))]
    for section in _sections(run):
        lines += ["", *section_lines(section)]
    lines += ["", "About this evaluation", "-" * 21, "", *definitions(_facts(run))]
    return "\n".join(lines)


def evaluation_page(run: EvaluationRun) -> str:
    """The report as one HTML file: no script, no network, light and dark."""
    from reconcile.page import render_page

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

    from reconcile.charts import accuracy_chart
    from reconcile.evaluation_charts import coverage_chart, planted_chart, reliability_chart
    from reconcile.page import in_both_themes

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
            in_both_themes(accuracy_chart(accuracy)),
        ),
        "calibration": (
            "A point is a range of probabilities, larger for more photos, with its 95% interval. On the dashed line "
            "the probabilities are honest; above it the model is better than it says, below it worse.",
            in_both_themes(reliability_chart(evaluation.calibration.bins)),
        ),
        "coverage": (
            "The line is the share counted the same, the band its 95% interval.",
            in_both_themes(coverage_chart(evaluation.coverage)),
        ),
    }
    if run.planted is not None:
        charts["planted-numbers"] = (
            "A point is a range of p_wrong, with the 95% interval of the share that is wrong; both axes are stretched "
            "towards 0. On the dashed line p_wrong is honest; above it more records are wrong than it says.",
            in_both_themes(planted_chart(run.planted.errors)),
        )
    return charts


def _leads(run: EvaluationRun) -> list[str]:
    """What somebody who reads no further should know; a sentence each."""
    whole = run.evaluation.protocols[0]
    right = round(whole.accuracy.value * whole.photos)
    near = round(whole.within_one * whole.photos)
    sentence = (
        f"Of {so_many(whole.photos, 'photo')} with a count on record, the model counted {right:,} the same "
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
            f"{so_many(evaluation.not_covered, 'further photo')} left out: the model has no label for such a count."
        )
    return sentences


def _sections(run: EvaluationRun) -> list[Section]:
    evaluation = run.evaluation
    sections = [
        *([] if run.planted is None else planted_sections(run.planted)),
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
    without = found.without_chance
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
            *(
                [
                    (
                        "without chance",
                        f"{percent(without.value)} ({percents(without)}), root mean square over the same ranges after "
                        "what chance adds is taken off (Kumar et al. 2019): probabilities that are true have 0% of it "
                        "on average, however few the photos",
                    )
                ]
                if without is not None
                else []
            ),
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
