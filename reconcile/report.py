"""The night's tables as one HTML file that needs no network, no script and no other file."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from reconcile.bucket import FetchError
from reconcile.charts import accuracy_chart
from reconcile.discrepancy import RECORD_ERROR_RATE
from reconcile.images import UnreadableImage, thumbnail
from reconcile.labels import CountLabels
from reconcile.page import in_both_themes, render_page
from reconcile.summary import STATUS_WORDS

if TYPE_CHECKING:
    from reconcile.bucket import Bucket
    from reconcile.reconciliation import Night
    from reconcile.summary import Summary

QUEUE_LENGTH = 100
_THUMBNAIL_PIXELS = 256
_FETCHERS = 16
_MOST_PRODUCTS = 20
_MOST_REASONS = 10


def render_report(night: Night, bucket: Bucket, summary: Summary) -> str:
    """The report of one run.

    Args:
        night: after `reconcile`.
        bucket: for the photos of the recount queue.
        summary: the run's numbers.

    Returns:
        HTML whose size does not grow with the number of bins: it shows the first 100 of the recount queue.
    """
    labels = CountLabels(tuple(summary.labels))
    queue = _rows(night.table("recount_queue", most=QUEUE_LENGTH))
    with ThreadPoolExecutor(_FETCHERS) as pool:
        photos = pool.map(partial(_photo, bucket), [row["image_key"] for row in queue])
    for row, photo in zip(queue, photos, strict=True):
        row["photo"] = photo
        row["bars"] = _bars(labels, row["probabilities"], row["expected_quantity"])
    accuracy = night.table("accuracy_by_count")
    return render_page(
        "report.html.j2",
        summary=summary,
        record_error_rate=RECORD_ERROR_RATE,
        status_words=STATUS_WORDS,
        queue=queue,
        accuracy=_rows(accuracy),
        charts=in_both_themes(partial(accuracy_chart, accuracy)) if len(accuracy) else {},
        confusion=_confusion(night.table("confusion"), labels),
        products=_rows(night.table("items_by_asin", most=_MOST_PRODUCTS)),
        problems=_rows(night.table("problems", most=_MOST_REASONS)),
    )


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain Python values, None where a value is missing."""
    rows: list[dict[str, Any]] = table.astype(object).to_dict("records")  # type: ignore[assignment]
    for row in rows:
        for name, value in row.items():
            if isinstance(value, np.ndarray):
                row[name] = value.tolist()
            elif not isinstance(value, list | dict) and pd.isna(value):
                row[name] = None
    return rows


def _photo(bucket: Bucket, key: str) -> str | None:
    """A data URL; None where the photo is gone by now."""
    try:
        webp = thumbnail(bucket.get(key), _THUMBNAIL_PIXELS)
    except (FetchError, UnreadableImage):
        return None
    return "data:image/webp;base64," + base64.b64encode(webp).decode()


def _bars(labels: CountLabels, probabilities: list[float], expected_quantity: int) -> list[dict[str, Any]]:
    """One bar a label for the small distribution beside each photo."""
    on_record = labels.index_of(expected_quantity)
    best = int(np.argmax(probabilities))
    return [
        {"label": label, "percent": round(100 * share, 1), "is_record": place == on_record, "is_count": place == best}
        for place, (label, share) in enumerate(zip(labels.names, probabilities, strict=True))
    ]


def _confusion(cells: pd.DataFrame, labels: CountLabels) -> list[dict[str, Any]]:
    """One row a count on record: how its bins were counted."""
    bins = {(expected, counted): number for expected, counted, number in cells.astype(int).values.tolist()}
    names = dict(zip(labels.values, labels.names, strict=True))
    rows = []
    for expected in sorted({expected for expected, _ in bins}):
        counts = [bins.get((expected, value), 0) for value in labels.values]
        row = [
            {"bins": count, "share": count / max(sum(counts), 1), "agrees": value == expected}
            for value, count in zip(labels.values, counts, strict=True)
        ]
        rows.append({"label": names.get(expected, str(expected)), "cells": row, "total": sum(counts)})
    return rows
