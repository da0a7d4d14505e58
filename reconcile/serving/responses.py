"""Content negotiation and response bodies."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import TYPE_CHECKING, Any

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reconcile.labels import CountLabels


JSON, JSON_LINES, CSV = "application/json", "application/jsonlines", "text/csv"
LINES_TYPES = (JSON_LINES, "application/x-ndjson", "application/jsonl")
"""The media types of JSON Lines. None of them is registered."""
_HEADER, _UTF8 = "; header=present", "; charset=utf-8"
OFFERED = (JSON, *LINES_TYPES, CSV, CSV + _HEADER, JSON + _UTF8, JSON_LINES + _UTF8, CSV + _UTF8)
"""The media types of responses."""
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
"""The first columns of every CSV response.

One column per label of the model follows, in the order of the labels. The last column is `note`.
"""


_FILE_CONTENT = re.compile(r"(?<=damaged image):.*", re.DOTALL)
"""The part of a reason that may quote a file, because it comes from a decoder."""


def without_file_content(reason: str) -> str:
    """Return why an image was not counted, without any byte of its file. A key may name a file that is not an image."""
    return _FILE_CONTENT.sub("", reason)


def choose_format(accept: str | None, default: str) -> str | None:
    """Return the media type of `OFFERED` that suits an `Accept` header best (RFC 9110, section 12.5.1), or None.

    Args:
        accept: the header; None if the request has none.
        default: the media type for clients that accept anything.
    """
    accepted = parse_accept_header(accept or "*/*", MIMEAccept)
    return accepted.best_match([default, *(offer for offer in OFFERED if offer != default)])


def render_image(row: dict[str, Any], media_type: str, labels: CountLabels) -> bytes:
    """Return the response to a single image. In JSON each probability has the name of its label."""
    if _base_type(media_type) == CSV:
        return b"".join(_as_csv([[row]], media_type, labels))
    end = "" if _base_type(media_type) == JSON else "\n"
    return (json.dumps(_image_fields(row, labels)) + end).encode()


def render_rows(rows: Iterable[list[dict[str, Any]]], media_type: str, labels: CountLabels) -> Iterator[bytes]:
    """Return the response to a request with keys, piece by piece.

    Each float32 has as many digits as it takes to read back the same float32.
    """
    if _base_type(media_type) == CSV:
        return _as_csv(rows, media_type, labels)
    return _as_array(rows) if _base_type(media_type) == JSON else _as_lines(rows)


def _image_fields(row: dict[str, Any], labels: CountLabels) -> dict[str, Any]:
    fields = {name: row[name] for name in ("image_key", "predicted_label", "predicted_count")}
    by_label = dict(zip(labels.names, _shortest(row["probabilities"]), strict=True))
    return {**fields, "probabilities": by_label, "note": row["note"], "model_id": row["model_id"]}


def _base_type(media_type: str) -> str:
    """Return a media type without its parameters."""
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
    header = [[*CSV_COLUMNS, *(f"probability_{name}" for name in labels.names), "note"]]
    if media_type.endswith(_HEADER):
        yield _csv_lines(header)
    for some in rows:
        plain = [_plain(row) for row in some]
        yield _csv_lines(
            [
                *(json.dumps(row[name]) if name == "try_again" else row[name] for name in CSV_COLUMNS),
                *(row["probabilities"] or [None] * len(labels.names)),
                row["note"],
            ]
            for row in plain
        )


def _csv_lines(lines: Iterable[list[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue().encode()


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row whose values JSON can express."""
    probs = row["probabilities"]
    return row | {
        "probabilities": None if probs is None else _shortest(probs),
        "counted_at": row["counted_at"].isoformat(),
    }


def _shortest(probs: Any) -> list[float]:
    """Return float32 probabilities as the floats with the fewest digits that read back as the same float32."""
    # numpy writes a float32 with the fewest digits. Python writes the same number as a float64, which takes more.
    return [float(str(prob)) for prob in probs]
