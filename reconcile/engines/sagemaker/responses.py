"""Parse responses of the server into rows of counts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AwareDatetime, BaseModel, Field, ValidationError, model_validator

from reconcile.errors import ReconcileError
from reconcile.streaming.count_rows import uncounted_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


NO_RESPONSE = "SageMaker gave no answer for this photo; the next run tries it again"
"""The reason for an image without a valid response."""
_Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class ResponseLine(BaseModel):
    """One line of a response: a row of `schemas.COUNTS_SCHEMA`, and the model that counted."""

    image_key: str
    etag: str
    predicted_label: str | None = None
    predicted_count: int | None = None
    probabilities: list[_Probability] | None = None
    reason: str | None = None
    try_again: bool
    counted_at: AwareDatetime
    note: str | None = None
    is_blank: bool | None = None
    content_hash: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    model_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    """The id of the model. It becomes the name of a folder."""

    @model_validator(mode="after")
    def _is_counted_or_has_a_reason(self) -> Self:
        count = (self.predicted_label, self.predicted_count, self.probabilities)
        if self.reason is None and None in count:
            raise ValueError("neither a count nor a reason")
        return self

    @property
    def row(self) -> dict[str, Any]:
        """The row to store."""
        return self.model_dump(exclude={"model_id"})


def parse_responses(lines: Iterable[bytes]) -> Iterator[tuple[int, ResponseLine | None]]:
    """Yield each line that is not blank, with its number from 1. An invalid line is None."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield number, ResponseLine.model_validate_json(line)
            except ValidationError:
                yield number, None


def rows_of_shard(keys: bytes, responses: bytes, model_id: str, labels: Sequence[str] | None) -> list[dict[str, Any]]:
    """Return one row for each image of a shard. An image without a valid response gets a row with a reason.

    Args:
        keys: the lines of the shard.
        responses: the lines of the response; empty if there is none.
        model_id: the model that should have counted.
        labels: the labels of that model; None if the model is not available. Labels are then not checked.

    Raises:
        ReconcileError: another model counted.
    """
    by_image: dict[tuple[str, str], ResponseLine] = {}
    for _, response in parse_responses(responses.splitlines()):
        if response is None:
            continue
        if response.model_id != model_id:
            raise ReconcileError(
                f"the container counted with model {response.model_id} instead of {model_id}; check that its image "
                "does not set RECONCILE_MODEL and is not older than this reconcile"
            )
        by_image[response.image_key, response.etag] = response
    now = datetime.now(UTC)
    rows = []
    for line in keys.splitlines():
        image = json.loads(line)
        response = by_image.get((image["key"], image["etag"]))
        if response is not None and _fits(response, labels):
            rows.append(response.row)
        else:
            rows.append(uncounted_row(image["key"], image["etag"], NO_RESPONSE, True, now))
    return rows


def _fits(response: ResponseLine, labels: Sequence[str] | None) -> bool:
    """Return whether a response fits the labels of the model, if they are known."""
    return (
        response.reason is not None
        or labels is None
        or (response.predicted_label in labels and len(response.probabilities or ()) == len(labels))
    )
