"""The HTML report of a run: one file that opens without a network."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

from reconcile.labels import CountLabels
from reconcile.metrics.calibration import CALIBRATION_BINS, CoveragePoint, ReliabilityBin, expected_calibration_error
from reconcile.metrics.intervals import wilson
from reconcile.output.history import figures_of_run
from reconcile.output.summary import STATUS_WORDS
from reconcile.reconciliation.results import plain_rows
from reconcile.reporting.charts import accuracy_chart, coverage_chart, history_chart, reliability_chart
from reconcile.reporting.datatables import data_table_css, data_table_module
from reconcile.reporting.html import render_page
from reconcile.reporting.overview import overview
from reconcile.reporting.recount_queue import MOST_SHOWN, queue_rows
from reconcile.reporting.svg import themed
from reconcile.resources import resource

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from markupsafe import Markup

    from reconcile.output.history import RunFigures
    from reconcile.output.summary import Summary
    from reconcile.reconciliation.results import Results


_MOST_PRODUCTS = 20
_MOST_PARTS = 20
_MOST_REASONS = 10


def render_report(
    results: Results,
    queue: Sequence[dict[str, Any]],
    photos: Sequence[str | None],
    summary: Summary,
    earlier: Sequence[RunFigures],
) -> str:
    """Render the report of one run.

    Args:
        results: the reconciled rows of the run.
        queue: the bins of the recount queue to show, from `shown_queue`.
        photos: the photo of each of these bins as a data URL; None if there is no photo to show.
        summary: the figures of the run.
        earlier: earlier runs over the same bucket, the oldest first.

    Returns:
        a page of HTML. Its size does not grow with the number of bins in the bucket.
    """
    labels = CountLabels(tuple(summary.labels))
    return render_page(
        "report.html.j2",
        more_css=data_table_css(),
        script=data_table_module() + resource("reports", "report.js").read_text(encoding="utf-8"),
        summary=summary,
        tiles=overview(summary, earlier[-1] if earlier else None),
        status_words=STATUS_WORDS,
        queue=queue_rows(queue, photos, labels),
        import_command=_import_command(summary),
        most_shown=MOST_SHOWN,
        counts=_count_quality(results, labels),
        history=_history([*earlier, figures_of_run(summary.as_dict())]),
        products=plain_rows(results.table("figures/items_by_asin", most=_MOST_PRODUCTS)),
        parts=_by_location(results, summary),
        problems=plain_rows(results.table("figures/reasons", most=_MOST_REASONS)),
    )


def _import_command(summary: Summary) -> str:
    """Return the command that imports the exported marks."""
    words = ["reconcile", "verdicts", "import", f"verdicts-{summary.run_id}.csv"]
    for name in ("out", "endpoint_url", "region", "profile"):
        if summary.parameters.get(name):
            words += [f"--{name.replace('_', '-')}", str(summary.parameters[name])]
    return shlex.join(words)


def _count_quality(results: Results, labels: CountLabels) -> dict[str, Any] | None:
    """Compare counts with records: tables, and charts by name and theme. None if nothing was compared."""
    accuracy = results.table("figures/accuracy_by_count")
    if not len(accuracy):
        return None
    reliability, coverage = _reliability(results), _coverage(results)
    return {
        "accuracy": plain_rows(accuracy),
        "confusion": _confusion(results.table("figures/confusion"), labels),
        "calibration_error": expected_calibration_error(reliability),
        "coverage": [point for point in coverage if point.share in (0.1, 0.2, 0.5, 1.0)],
        "charts": {
            "accuracy": themed(accuracy_chart(accuracy)),
            "reliability": themed(reliability_chart(reliability)),
            "coverage": themed(coverage_chart(coverage)),
        },
    }


def _confusion(cells: pd.DataFrame, labels: CountLabels) -> list[dict[str, Any]]:
    """Return one row per quantity on record, with the number of bins for each count of the model."""
    bins = {(expected, counted): number for expected, counted, number in cells.astype(int).values.tolist()}
    names = dict(zip(labels.values, labels.names, strict=True))
    rows = []
    for expected in sorted({expected for expected, _ in bins}):
        counts = [bins.get((expected, value), 0) for value in labels.values]
        row = [
            {"bins": count, "share": count / max(sum(counts), 1), "agrees": value == expected}
            for value, count in zip(labels.values, counts, strict=True)
        ]
        rows.append({"label": names.get(expected, "more"), "cells": row, "total": sum(counts)})
    return rows


def _reliability(results: Results) -> list[ReliabilityBin]:
    return [
        ReliabilityBin(
            low=row["bin_index"] / CALIBRATION_BINS,
            high=(row["bin_index"] + 1) / CALIBRATION_BINS,
            photos=row["photos"],
            probability=row["probability"],
            accuracy=wilson(row["agreeing"], row["photos"]),
        )
        for row in plain_rows(results.table("figures/reliability"))
    ]


def _coverage(results: Results) -> list[CoveragePoint]:
    points = []
    for row in plain_rows(results.table("figures/coverage")):
        accuracy = wilson(row["agreeing"], row["photos"])
        assert accuracy is not None
        points.append(CoveragePoint(row["percent"] / 100, row["photos"], row["least_probability"], accuracy))
    return points


def _history(runs: list[RunFigures]) -> dict[str, Any]:
    """Return all runs, the newest first, and a chart of them if there are two or more."""
    charts: dict[str, Markup] = themed(history_chart(runs)) if len(runs) > 1 else {}
    return {"rows": list(reversed(runs)), "charts": charts}


def _by_location(results: Results, summary: Summary) -> dict[str, list[dict[str, Any]]]:
    """Return the discrepancies by each part of a bin id that `--where` names."""
    pattern = summary.parameters.get("where")
    if not pattern:
        return {}
    parameters = {"pattern": pattern, "capacity": summary.capacity, "most": _MOST_PARTS}
    return {
        name: plain_rows(results.table("figures/discrepancies_by_part", part=group, **parameters))
        for name, group in re.compile(pattern).groupindex.items()
    }
