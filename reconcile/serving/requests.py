"""What a request for many images says: JSON Lines, an object a line that names an image in a bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO


LONGEST_LINE = 64 * 1024
"""Bytes. A key has 1,024 at most, each of which JSON may write as six."""


class InvalidRequestLine(ValueError):
    """A line that nobody can understand; the message names its number."""


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL")
    return text


_Name = Annotated[str, Field(min_length=1), AfterValidator(_no_nul)]


class RequestLine(BaseModel):
    """One image that is to be counted."""

    model_config = ConfigDict(strict=True, frozen=True)

    key: _Name
    """Relative to the bucket."""
    etag: str
    """As listed; the image is counted if it still is this one."""
    size: int | None = Field(default=None, ge=0)
    """Bytes, as listed: what is too large is not fetched."""
    bucket: _Name | None = None
    """A bucket's name, s3://name/prefix or a folder; None for the server's own."""


def parse_request_lines(file: IO[bytes]) -> Iterator[RequestLine]:
    """Every line of a request, from its beginning.

    Raises:
        BadLine: one is no such object, too long, or blank; or there is none.
    """
    file.seek(0)
    number = 0
    while data := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(data) > LONGEST_LINE:
            raise InvalidRequestLine(f"line {number} is longer than {LONGEST_LINE // 1024} kB")
        try:
            yield RequestLine.model_validate_json(data)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in problem["loc"])
            raise InvalidRequestLine(f"line {number}: {where + ': ' if where else ''}{problem['msg']}") from None
    if number == 0:
        raise InvalidRequestLine(
            'the request is empty; expected lines such as {"key": "bin-images/1.jpg", "etag": "…"}'
        )
