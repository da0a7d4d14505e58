"""Answers as JSON, JSON Lines or CSV, and which of them a request asks for."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reconcile.labels import CountLabels


JSON, JSON_LINES, CSV = "application/json", "application/jsonlines", "text/csv"
LINES_TYPES = (JSON_LINES, "application/x-ndjson", "application/jsonl")
"""Names of JSON Lines; none was ever registered."""
_HEADER, _UTF8 = "; header=present", "; charset=utf-8"
OFFERED = (JSON, *LINES_TYPES, CSV, CSV + _HEADER, JSON + _UTF8, JSON_LINES + _UTF8, CSV + _UTF8)
"""Media types of answers."""
CSV_COLUMNS = (
    "image_key",
    "etag",
    "predicted_label",
    "predicted_count",
    "reason",
    "try_again",
    "counted_at",
    "model_id",
)
"""Columns of every CSV answer, in this order; behind them one for each of the model's labels, in their order."""


def choose_format(accept: str | None, default: str) -> str | None:
    """What of `OFFERED` suits an `Accept` header best (RFC 9110, section 12.5.1); None where nothing does.

    Args:
        accept: the header; None where there was none.
        default: what is given to those who take anything.
    """
    asked = parse_accept_header(accept or "*/*", MIMEAccept)
    return asked.best_match([default, *(offer for offer in OFFERED if offer != default)])


def render_image(row: dict[str, Any], media_type: str, labels: CountLabels) -> bytes:
    """The answer to a single image; in JSON, the probability of each label stands under its name."""
    if _kind(media_type) == CSV:
        return b"".join(_as_csv([[row]], media_type, labels))
    end = "" if _kind(media_type) == JSON else "\n"
    return (json.dumps(_image_answer(row, labels)) + end).encode()


def render_rows(rows: Iterable[list[dict[str, Any]]], media_type: str, labels: CountLabels) -> Iterator[bytes]:
    """The answer to a request for many, piece by piece.

    A float32 is written with as many digits as it takes to read the same float32 again.
    """
    if _kind(media_type) == CSV:
        return _as_csv(rows, media_type, labels)
    return _as_array(rows) if _kind(media_type) == JSON else _as_lines(rows)


def _image_answer(row: dict[str, Any], labels: CountLabels) -> dict[str, Any]:
    said = {name: row[name] for name in ("image_key", "predicted_label", "predicted_count")}
    shares = dict(zip(labels.names, _shortest(row["probabilities"]), strict=True))
    return {**said, "probabilities": shares, "model_id": row["model_id"]}


def _kind(media_type: str) -> str:
    return media_type.partition(";")[0]


def _as_lines(rows: Iterable[list[dict[str, Any]]]) -> Iterator[bytes]:
    for some in rows:
        yield "".join(json.dumps(_plain(row)) + "\n" for row in some).encode()


def _as_array(rows: Iterable[list[dict[str, Any]]]) -> Iterator[bytes]:
    start = "["
    for some in rows:
        yield (start + ",\n".join(json.dumps(_plain(row)) for row in some)).encode()
        start = ",\n"
    yield b"]\n"


def _as_csv(rows: Iterable[list[dict[str, Any]]], media_type: str, labels: CountLabels) -> Iterator[bytes]:
    header = [[*CSV_COLUMNS, *(f"probability_{name}" for name in labels.names)]]
    if media_type.endswith(_HEADER):
        yield _csv_lines(header)
    for some in rows:
        plain = [_plain(row) for row in some]
        yield _csv_lines(
            [
                *(json.dumps(row[name]) if name == "try_again" else row[name] for name in CSV_COLUMNS),
                *(row["probabilities"] or [None] * len(labels.names)),
            ]
            for row in plain
        )


def _csv_lines(lines: Iterable[list[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue().encode()


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    shares = row["probabilities"]
    return row | {
        "probabilities": None if shares is None else _shortest(shares),
        "counted_at": row["counted_at"].isoformat(),
    }


def _shortest(shares: Any) -> list[float]:
    # numpy's text of a float32 is the shortest that stands for it; Python's of the same number as a float is longer.
    return [float(str(share)) for share in shares]
