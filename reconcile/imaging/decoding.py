"""Decode a photo in this process, and decide whether another process should do it."""

from __future__ import annotations

import io
from typing import NamedTuple

from PIL import Image

from reconcile.imaging.formats import image_format
from reconcile.imaging.jpeg import DAMAGED, decode_jpeg, note_damage, scaled_bytes
from reconcile.imaging.jpeg_header import START, JpegHeader, read_jpeg_header
from reconcile.imaging.limits import (
    MAX_DECODED_BYTES,
    UnreadableImage,
    check_decoded_bytes,
    check_pixels,
    check_size,
)
from reconcile.imaging.picture_size import picture_size
from reconcile.imaging.pillow_decoder import decode_with_pillow

_HEADER_UNKNOWN_BYTES = 64 * 2**20
"""The memory for a picture whose header cannot be read here. Most of them are damaged and cannot be read at all."""
_QUICK_BYTES = 8 * 2**20
"""A JPEG that needs less memory is decoded here, whatever it is."""
_QUICK_PIXELS = 250_000_000
"""The number of scans times pixels that libjpeg-turbo decodes in about half a second."""
_UNSUPPORTED = ("lossless", "hierarchical")
_BITS = 8
"""The only number of bits in a sample that libjpeg-turbo decodes to bytes."""
_CMYK_BYTES = 12
"""Pillow's bytes per pixel for a JPEG that it decodes in full, with one copy."""


class DecodePlan(NamedTuple):
    """The plan for decoding one photo."""

    jpeg: JpegHeader | None
    """The header of a JPEG; None for other formats and for a header that cannot be read."""
    byte_count: int
    """The memory that decoding needs, without the pixels of the result."""
    needs_worker: bool
    """True if decoding could take long or crash. A separate process then has to decode the photo."""


def plan_decoding(data: bytes, size: int) -> DecodePlan:
    """Look at the header of a photo and plan how to decode it.

    Args:
        data: the bytes of the file.
        size: the side of the square in pixels.

    Raises:
        UnreadableImage: the photo is empty, too large, or of a format that is not read.
    """
    check_size(len(data))
    if data[:2] == START:
        header = read_jpeg_header(data)
        if header is None:
            return DecodePlan(None, _HEADER_UNKNOWN_BYTES, needs_worker=True)
        return _plan_jpeg(header, size)
    measured = picture_size(data, image_format(data))
    if measured is None or measured.width < 1 or measured.height < 1:
        return DecodePlan(None, _HEADER_UNKNOWN_BYTES, needs_worker=True)
    check_pixels(measured.width, measured.height)
    byte_count = measured.decoded_bytes(size)
    check_decoded_bytes(byte_count, measured.width, measured.height)
    return DecodePlan(None, byte_count, needs_worker=True)


def _plan_jpeg(header: JpegHeader, size: int) -> DecodePlan:
    if header.coding in _UNSUPPORTED:
        raise UnreadableImage(f"{header.coding} JPEG is not supported; save the photo again")
    if header.precision != _BITS:
        raise UnreadableImage(f"a JPEG with {header.precision} bits a sample; save the photo with {_BITS} bits")
    check_pixels(header.width, header.height)
    pixels = header.width * header.height
    byte_count = scaled_bytes(header, size) + (0 if _is_usual(header) else _CMYK_BYTES * pixels)
    if header.is_plain and _is_usual(header):
        return DecodePlan(header, min(byte_count, MAX_DECODED_BYTES), needs_worker=False)
    check_decoded_bytes(byte_count, header.width, header.height)
    is_quick = byte_count <= _QUICK_BYTES and len(header.scans) * pixels <= _QUICK_PIXELS
    return DecodePlan(header, byte_count, needs_worker=not (_is_usual(header) and is_quick))


def _is_usual(header: JpegHeader) -> bool:
    """Return whether simplejpeg decodes the colours of a JPEG: grey or YCbCr."""
    return len(header.components) in (1, 3)


def decode_square(data: bytes, size: int, header: JpegHeader | None) -> tuple[Image.Image, str | None]:
    """Decode a photo in this process, and resize it to a square.

    Args:
        data: the bytes of the file.
        size: the side of the square in pixels.
        header: the header of a JPEG; None for other formats.

    Returns:
        the square in RGB, and a note if something about the photo is odd.

    Raises:
        UnreadableImage: the photo is damaged, too large, or of a format that is not read.
    """
    picture, note = _decode(data, size, header, keeps_aspect=False)
    if picture.size != (size, size):
        picture = picture.resize((size, size), Image.Resampling.BILINEAR)
    return picture, note


def decode_thumbnail(data: bytes, longest: int, header: JpegHeader | None) -> bytes:
    """Return a small upright WebP of a photo. The aspect ratio is kept.

    Args:
        data: the bytes of the file.
        longest: the longer side in pixels.
        header: the header of a JPEG; None for other formats.

    Raises:
        UnreadableImage: as for `decode_square`.
    """
    picture, _ = _decode(data, longest, header, keeps_aspect=True)
    picture.thumbnail((longest, longest))
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=70)
    return buffer.getvalue()


def _decode(data: bytes, size: int, header: JpegHeader | None, *, keeps_aspect: bool) -> tuple[Image.Image, str | None]:
    if data[:2] != START:
        return decode_with_pillow(data, size, keeps_aspect=keeps_aspect)
    if header is None:
        note: str | None = DAMAGED
    elif _is_usual(header):
        decoded = decode_jpeg(data, header, size)
        if decoded is not None:
            return decoded
        note = DAMAGED
    else:
        note = note_damage(data, header, size)
    return decode_with_pillow(data, size, keeps_aspect=keeps_aspect)[0], note
