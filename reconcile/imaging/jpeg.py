"""Decode JPEGs with libjpeg-turbo, and find out how much of a damaged one is missing."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import simplejpeg
from PIL import Image

from reconcile.imaging.jpeg_header import END
from reconcile.imaging.limits import UnreadableImage
from reconcile.imaging.orientation import exif_orientation, turn_upright

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from reconcile.imaging.jpeg_header import JpegHeader


DAMAGED = "damaged JPEG: parts of the picture may be missing or shifted, so the count may be wrong"
"""The note of a damaged JPEG that is counted."""
MAX_MISSING = 0.1
"""The largest fraction of a picture that may be missing if the photo is to be counted."""
_FEW_PIXELS = 500_000
_LACKS_SCANS = "damaged image: the JPEG ends before its last scans; upload the photo again"
_SCALES = range(1, 9)
"""libjpeg scales by eighths while it decodes."""
_HARMLESS = ("unknown adobe", "warning: unknown jfif", "corrupt jpeg data: bad icc")
"""The beginnings of warnings that are about entries of the header, and not about the picture."""
_ERRORS = (ValueError, KeyError)
"""Errors of simplejpeg. It raises KeyError for unknown values in the header."""
_MANY_ZEROS = 16
_ZEROS = re.compile(rb"\0{%d,}" % _MANY_ZEROS)
"""Compressed pixels never hold so many zeros in a row, unless the whole picture is one tone."""
_GREY = 128
"""libjpeg fills missing blocks with this value in all channels."""


def scaled_bytes(header: JpegHeader, size: int) -> int:
    """Return the memory in bytes that libjpeg needs to decode a JPEG for a square.

    libjpeg holds the coefficients of all pixels if there are several scans. The array of pixels is as large as the
    smallest scale that covers the square.

    Args:
        header: the header of the JPEG.
        size: the side of the square in pixels.
    """
    pixels = header.width * header.height
    if header.is_plain and pixels <= _FEW_PIXELS:
        return 2 * 3 * pixels
    eighths = next(
        scale
        for scale in _SCALES
        if scale == _SCALES[-1]
        or (
            header.width * scale >= 8 * min(size, header.width)
            and header.height * scale >= 8 * min(size, header.height)
        )
    )
    coefficients = 0 if header.is_plain else 2 * len(header.components) * pixels
    return coefficients + 2 * 3 * pixels * eighths**2 // 64


def decode_jpeg(data: bytes, header: JpegHeader, size: int) -> tuple[Image.Image, str | None] | None:
    """Decode a JPEG of grey or YCbCr pixels at the smallest scale that covers a square, and turn it upright.

    Args:
        data: the bytes of the file.
        header: its header.
        size: the side of the square in pixels.

    Returns:
        the picture in RGB, and a note if it is damaged; None if Pillow has to decode the JPEG.

    Raises:
        UnreadableImage: a good part of the picture is missing.
    """
    if not header.is_plain and header.lacks_scans:
        raise UnreadableImage(_LACKS_SCANS)
    note = None
    try:
        pixels = _decode(data, header, size, strict=True)
    except _ERRORS as error:
        decoded = _decode_damaged(data, header, size, str(error))
        if decoded is None:
            return None
        pixels, note = decoded
    picture = Image.fromarray(pixels)
    return (turn_upright(picture, _orientation(data)) if header.has_exif else picture), note


def note_damage(data: bytes, header: JpegHeader, size: int) -> str | None:
    """Return the note of a JPEG of CMYK pixels, which Pillow decodes without a word about damage.

    Args:
        data: the bytes of the file.
        header: its header.
        size: the side of the square in pixels.

    Raises:
        UnreadableImage: a good part of the picture is missing.
    """
    if header.lacks_scans:
        raise UnreadableImage(_LACKS_SCANS)
    try:
        _decode(data, header, size, strict=True, colours="CMYK")
    except _ERRORS as error:
        try:
            pixels = _decode(data, header, size, strict=False, colours="CMYK")
        except _ERRORS:
            return DAMAGED
        if str(error).lower().startswith(_HARMLESS):
            return None
        _check_missing(_missing_fraction(pixels, data[header.start :], pixels[-1, -1]))
        return DAMAGED
    return None


def _decode(data: bytes, header: JpegHeader, size: int, *, strict: bool, colours: str = "RGB") -> NDArray[np.uint8]:
    # libjpeg scales while it decodes, to the smallest size that still covers the square.
    pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
        data, colours, min_height=min(size, header.height), min_width=min(size, header.width), strict=strict
    )
    return pixels


def _decode_damaged(
    data: bytes, header: JpegHeader, size: int, warning: str
) -> tuple[NDArray[np.uint8], str | None] | None:
    """Decode a JPEG that libjpeg warns of. `warning` is its text. All else is as for `decode_jpeg`."""
    without_padding = _strip_zeros(data)
    if without_padding is not None:
        data = without_padding
        try:
            return _decode(data, header, size, strict=True), None  # some cameras write blocks of a fixed size
        except _ERRORS as error:
            warning = str(error)
    try:
        pixels = _decode(data, header, size, strict=False)
    except _ERRORS:
        return None
    if warning.lower().startswith(_HARMLESS):
        return pixels, None
    _check_missing(_missing_fraction(pixels, data[header.start :], _GREY))
    if header.ends_with_first_pass:  # the warning may mean that most of this scan is missing
        raise UnreadableImage("damaged image: the picture lacks detail; upload the photo again")
    return pixels, DAMAGED


def _strip_zeros(data: bytes) -> bytes | None:
    """Return a JPEG without the zeros at the end of its pixels; None if there are none."""
    body = data.removesuffix(END)
    stripped = body.rstrip(b"\0")
    return stripped.removesuffix(END) + END if len(body) - len(stripped) >= _MANY_ZEROS else None


def _missing_fraction(pixels: NDArray[np.uint8], compressed: bytes, filling: Any) -> float:
    """Estimate how much of a damaged picture is missing.

    Args:
        pixels: uint8 [height, width, channels].
        compressed: the compressed pixels. Zeros among them are sectors of a disk that were lost.
        filling: the pixel with which libjpeg fills missing blocks.
    """
    grey = float((pixels == filling).all(axis=2).mean())
    zeros = sum(len(run) for run in _ZEROS.findall(compressed)) / len(compressed)
    return min(1.0, grey + zeros)


def _check_missing(missing: float) -> None:
    if missing > MAX_MISSING:
        raise UnreadableImage(f"damaged image: about {missing:.0%} of the picture is missing; upload the photo again")


def _orientation(data: bytes) -> int:
    try:
        return exif_orientation(Image.open(io.BytesIO(data), formats=("JPEG",)))
    except Exception:  # the pixels may be sound although Pillow cannot read the header
        return 1
