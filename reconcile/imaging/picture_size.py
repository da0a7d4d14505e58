"""The size of a picture, and the memory that its decoder needs, from the file's header.

Pillow is not asked, because some of its decoders allocate the whole picture when they open a file.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


SCALED_PIXELS = 12_000_000
"""Larger pictures are made smaller while they are converted, so that only one copy has all pixels."""
_RGB_BYTES = 4
"""Pillow's bytes per pixel for a picture in RGB."""
_STRIP_BYTES = 32 * 2**20
"""The memory for converting a picture in strips."""
_DECODER_BYTES = {"GIF": 2, "BMP": 4, "PPM": 4, "TIFF": 8, "WEBP": 17, "AVIF": 12, "HEIF": 9}
"""The memory of Pillow and its decoder in bytes per pixel, measured with Pillow 12.3 and pillow-heif 1.8."""
_JPEG2000_BYTES = 7
"""The same for JPEG 2000, for each component."""
_PNG_CHANNEL_BYTES = {0: 1, 3: 1, 2: 4, 4: 4, 6: 4}
"""Pillow's bytes per pixel for each colour type of PNG."""
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_TIFF_TYPES = {3: ("H", 2), 4: ("I", 4), 13: ("I", 4), 16: ("Q", 8)}
"""Formats and sizes of the types of whole numbers in TIFF."""
_MOST_TAGS = 4096


class PictureSize(NamedTuple):
    """The size of a picture, as its header states it."""

    width: int
    height: int
    bytes_per_pixel: float
    """The memory that the decoder needs, without conversions."""
    levels: int = 0
    """The number of times that the decoder can halve the picture while it decodes (JPEG 2000)."""

    def halvings(self, size: int) -> int:
        """Return the number of times that a picture can be halved and still have twice the pixels of a square.

        Args:
            size: the side of the square in pixels.
        """
        halvings = 0
        if self.width * self.height > SCALED_PIXELS:
            while halvings < self.levels and min(self.width, self.height) >> (halvings + 1) >= 2 * size:
                halvings += 1
        return halvings

    def decoded_bytes(self, size: int) -> int:
        """Return the memory in bytes that decoding and converting need.

        Args:
            size: the side of the square in pixels.
        """
        pixels = (self.width * self.height) >> (2 * self.halvings(size))
        converted = 0 if pixels > SCALED_PIXELS else _RGB_BYTES * pixels
        return int(self.bytes_per_pixel * pixels) + converted + min(4 * _RGB_BYTES * pixels, _STRIP_BYTES)


def picture_size(data: bytes, image_format: str) -> PictureSize | None:
    """Read the size of a picture from its header.

    Args:
        data: the bytes of the file.
        image_format: Pillow's name of its format.

    Returns:
        the size; None if the header is damaged or unusual.
    """
    try:
        return _READERS[image_format](data)
    except (struct.error, ValueError, IndexError, KeyError):
        return None


def tiff_tags(data: bytes) -> dict[int, int]:
    """Return the first value of each tag of a TIFF's first picture that has a whole number.

    Raises:
        struct.error: the header is damaged.
    """
    order = "<" if data[:2] == b"II" else ">"
    is_big = data[2:4] in (b"+\0", b"\0+")
    if is_big:
        (start,) = struct.unpack_from(f"{order}Q", data, 8)
        (count,) = struct.unpack_from(f"{order}Q", data, start)
        first, entry, value_at = start + 8, 20, 12
    else:
        (start,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, start)
        first, entry, value_at = start + 2, 12, 8
    tags: dict[int, int] = {}
    for number in range(min(count, _MOST_TAGS)):
        at = first + entry * number
        tag, kind = struct.unpack_from(f"{order}HH", data, at)
        (values,) = struct.unpack_from(f"{order}{'Q' if is_big else 'I'}", data, at + 4)
        letter, width = _TIFF_TYPES.get(kind, ("B", 1))
        field = at + value_at
        if values * width > entry - value_at:  # the values are elsewhere
            (field,) = struct.unpack_from(f"{order}{'Q' if is_big else 'I'}", data, field)
        if values:
            try:
                (tags[tag],) = struct.unpack_from(f"{order}{letter}", data, field)
            except struct.error:
                tags[tag] = 0
    return tags


def _png(data: bytes) -> PictureSize:
    width, height, _, colour = struct.unpack_from(">IIBB", data, 16)
    return PictureSize(width, height, _PNG_CHANNEL_BYTES[colour] + 0.5)


def _gif(data: bytes) -> PictureSize:
    width, height = struct.unpack_from("<HH", data, 6)
    return PictureSize(width, height, _DECODER_BYTES["GIF"])


def _bmp(data: bytes) -> PictureSize:
    (header,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", data, 18)
    return PictureSize(width, abs(height), _DECODER_BYTES["BMP"])


def _ppm(data: bytes) -> PictureSize:
    words: list[bytes] = []
    for line in data[:4096].splitlines():
        words += line.partition(b"#")[0].split()
    return PictureSize(int(words[1]), int(words[2]), _DECODER_BYTES["PPM"])


def _tiff(data: bytes) -> PictureSize:
    tags = tiff_tags(data)
    return PictureSize(tags[_TIFF_WIDTH], tags[_TIFF_HEIGHT], _DECODER_BYTES["TIFF"])


def _webp(data: bytes) -> PictureSize:
    """Read the size in the first chunk, as in the WebP Container Specification and RFC 9649."""
    kind, body = data[12:16], data[20:]
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(body[at : at + 3], "little") for at in (4, 7))
    elif kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", body, 6))
    else:
        raise ValueError(f"unknown chunk {kind!r}")
    return PictureSize(width, height, _DECODER_BYTES["WEBP"])


def _jpeg2000(data: bytes) -> PictureSize:
    """Read the marker segments SIZ and COD of the code stream (ITU-T T.800, annex A)."""
    start = data.index(b"\xff\x4f\xff\x51")
    right, bottom, left, top = struct.unpack_from(">IIII", data, start + 8)
    (components,) = struct.unpack_from(">H", data, start + 40)
    style = data.index(b"\xff\x52", start)
    return PictureSize(right - left, bottom - top, _JPEG2000_BYTES * components, min(data[style + 9], 32))


def _boxes(data: bytes) -> tuple[int, int]:
    """Return the sides of the largest picture in a HEIF or AVIF file, from its boxes `ispe`."""
    largest, at = (0, 0), data.index(b"ispe")
    for _ in range(_MOST_TAGS):
        width, height = struct.unpack_from(">II", data, at + 8)
        largest = max(largest, (width, height), key=lambda sides: sides[0] * sides[1])
        at = data.find(b"ispe", at + 4)
        if at < 0:
            break
    return largest


_READERS: dict[str, Callable[[bytes], PictureSize]] = {
    "PNG": _png,
    "GIF": _gif,
    "BMP": _bmp,
    "PPM": _ppm,
    "TIFF": _tiff,
    "WEBP": _webp,
    "JPEG2000": _jpeg2000,
    "AVIF": lambda data: PictureSize(*_boxes(data), _DECODER_BYTES["AVIF"]),
    "HEIF": lambda data: PictureSize(*_boxes(data), _DECODER_BYTES["HEIF"]),
}
