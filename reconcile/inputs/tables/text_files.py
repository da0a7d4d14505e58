"""Open text files in any of the encodings in which programs and spreadsheets write them."""

from __future__ import annotations

import codecs
import gzip
import io
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from pathlib import Path
    from typing import TextIO


_GZIP = b"\x1f\x8b"
_SAMPLE_BYTES = 4096
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order marks. The first bytes of UTF-32 are those of UTF-16, so UTF-32 comes first."""
_LATIN_FALLBACK = "reconcile-latin"
"""The name of a codec error handler: bytes that are not valid UTF-8 are decoded as Windows' code page 1252."""


def is_gzip(path: Path) -> bool:
    """Return whether a file is compressed with gzip, under any name."""
    with path.open("rb") as raw:
        return raw.read(2) == _GZIP


def open_bytes(path: Path) -> BinaryIO:
    """Open a file for reading. A file that is compressed with gzip is decompressed, under any name."""
    return cast("BinaryIO", gzip.open(path)) if is_gzip(path) else path.open("rb")


def open_text(path: Path) -> TextIO:
    """Open a text file in UTF-8, UTF-16 or UTF-32, with or without a byte order mark, possibly compressed with gzip.

    A byte that is not valid UTF-8 is decoded as Windows' code page 1252, which Excel writes in western countries. So a
    stray byte changes only one letter, for example of a product's name. Only line feeds and carriage returns end a
    line.

    Raises:
        OSError: the file cannot be read.
    """
    with open_bytes(path) as file:
        encoding = guess_encoding(file.read(_SAMPLE_BYTES))
    return io.TextIOWrapper(open_bytes(path), encoding, errors=_LATIN_FALLBACK, newline="")


def guess_encoding(sample: bytes) -> str:
    """Return the encoding of a text from its first bytes.

    In UTF-16, every second byte of Latin letters, digits and separators is zero. A text in another script has only few
    such bytes, but it is not valid UTF-8.
    """
    for mark, encoding in _MARKS.items():
        if sample.startswith(mark):
            return encoding
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if min(even, odd) <= max(even, odd) // 8:
        encoding = "utf-16-be" if even > odd else "utf-16-le"
        is_mostly_latin = max(even, odd) > len(sample) // 8
        if is_mostly_latin or (max(even, odd) and not _is_valid(sample, "utf-8") and _is_valid(sample, encoding)):
            return encoding
    return "utf-8"


def _is_valid(sample: bytes, encoding: str) -> bool:
    """Return whether the first bytes of a text have an encoding. The last character may be incomplete."""
    try:
        codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeError:
        return False
    return True


def _decode_as_latin(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("cp1252", errors="replace"), error.end


codecs.register_error(_LATIN_FALLBACK, _decode_as_latin)
