"""What the server answered, line by line, as rows of counts."""

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
_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Response(BaseModel):
    """One line: a row of `store.COUNTS_SCHEMA`, and which model it is from."""

    image_key: str
    etag: str
    predicted_label: str | None = None
    predicted_count: int | None = None
    probabilities: list[_Share] | None = None
    reason: str | None = None
    try_again: bool
    counted_at: AwareDatetime
    model_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    """It becomes the name of a folder."""

    @model_validator(mode="after")
    def _is_counted_or_has_a_reason(self) -> Self:
        said = (self.predicted_label, self.predicted_count, self.probabilities)
        if self.reason is None and None in said:
            raise ValueError("neither a count nor a reason")
        return self

    @property
    def row(self) -> dict[str, Any]:
        """What is kept of it."""
        return self.model_dump(exclude={"model_id"})


def parse_responses(lines: Iterable[bytes]) -> Iterator[tuple[int, Response | None]]:
    """Each line that is not blank, by its number from 1 on; None for one that is no answer."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield number, Response.model_validate_json(line)
            except ValidationError:
                yield number, None


def rows_of_shard(keys: bytes, answers: bytes, model_id: str, labels: Sequence[str] | None) -> list[dict[str, Any]]:
    """A row for each image of a shard: what was answered, or that nothing was.

    Args:
        keys: the shard's lines.
        answers: SageMaker's; empty where there are none.
        model_id: of what was to count.
        labels: of that model; None where it is not at hand, and its answers are taken as they are.

    Raises:
        ReconcileError: another model counted.
    """
    found: dict[tuple[str, str], Response] = {}
    for _, answer in parse_responses(answers.splitlines()):
        if answer is None:
            continue
        if answer.model_id != model_id:
            raise ReconcileError(
                f"the container counted with the model {answer.model_id}, and was to count with "
                f"{model_id}: see that its image sets no RECONCILE_MODEL, and is no older than this reconcile"
            )
        found[answer.image_key, answer.etag] = answer
    now = datetime.now(UTC)
    rows = []
    for line in keys.splitlines():
        image = json.loads(line)
        answer = found.get((image["key"], image["etag"]))
        if answer is not None and _fits(answer, labels):
            rows.append(answer.row)
        else:
            rows.append(uncounted_row(image["key"], image["etag"], NO_RESPONSE, True, now))
    return rows


def _fits(answer: Response, labels: Sequence[str] | None) -> bool:
    """Whether it speaks of the model's labels, as far as they are known."""
    return (
        answer.reason is not None
        or labels is None
        or (answer.predicted_label in labels and len(answer.probabilities or ()) == len(labels))
    )
