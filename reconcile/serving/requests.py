"""Parse JSON Lines requests. Each line names one image in a bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO


MAX_LINE_BYTES = 64 * 1024
"""The longest line, in bytes. A key has at most 1,024 bytes, and JSON may write each as six."""


class InvalidRequestLine(ValueError):
    """A line that is not a valid request. The message has its number."""


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("contains a NUL character")
    return text


_Name = Annotated[str, Field(min_length=1), AfterValidator(_without_nul)]


class RequestLine(BaseModel):
    """One image to count."""

    model_config = ConfigDict(strict=True, frozen=True)

    key: _Name
    """The key, relative to the bucket."""
    etag: str
    """The ETag in the listing. An object with another ETag is not counted."""
    size: int | None = Field(default=None, ge=0)
    """The size in the listing, in bytes. An object that is too large is not fetched."""
    bucket: _Name | None = None
    """The name of a bucket, `s3://name/prefix` or a folder; None for the bucket of the server."""


def parse_request_lines(file: IO[bytes]) -> Iterator[RequestLine]:
    """Yield every line of a request, from the beginning of the file.

    Raises:
        InvalidRequestLine: a line is not a valid object, too long or blank; or the request is empty.
    """
    file.seek(0)
    number = 0
    while data := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(data) > MAX_LINE_BYTES:
            raise InvalidRequestLine(f"line {number} is longer than {MAX_LINE_BYTES // 1024} kB")
        try:
            yield RequestLine.model_validate_json(data)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(str(part) for part in problem["loc"])
            raise InvalidRequestLine(f"line {number}: {field + ': ' if field else ''}{problem['msg']}") from None
    if number == 0:
        raise InvalidRequestLine(
            'the request is empty; expected lines such as {"key": "bin-images/1.jpg", "etag": "…"}'
        )
