"""The headers of a JPEG, which are read before it is decoded: ITU-T T.81, annex B."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from reconcile.imaging.limits import MAX_JPEG_SCANS, UnreadableImage

START = b"\xff\xd8"
END = b"\xff\xd9"
_SOS, _EOI, _APP1 = 0xDA, 0xD9, 0xE1
_FRAMES = {
    0xC0: "baseline",
    0xC1: "extended",
    0xC2: "progressive",
    0xC3: "lossless",
    0xC5: "hierarchical",
    0xC6: "hierarchical",
    0xC7: "hierarchical",
    0xC9: "arithmetic",
    0xCA: "arithmetic progressive",
    0xCB: "lossless",
    0xCD: "hierarchical",
    0xCE: "hierarchical",
    0xCF: "hierarchical",
}
"""The coding of each start-of-frame marker."""
_NOTED = {_SOS, _APP1, *_FRAMES}
"""Markers whose segments are read. All others are skipped."""
_PREFIX = 0xFF
"""The first byte of a marker. Any number of them may come before it."""
_WITHOUT_LENGTH = {_PREFIX, 0x01, *range(0xD0, 0xD8)}
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""A marker inside the data of a scan that ends the scan."""
_MOST_SEGMENTS = 10_000
_LAST_COEFFICIENT = 63


class Scan(NamedTuple):
    """One pass over the picture: some coefficients of some components."""

    components: tuple[int, ...]
    first: int
    """The first coefficient, 0 for the average of a block."""
    last: int
    high: int
    """0 if this scan is the first for its coefficients. Later scans add bits."""
    low: int
    """The number of bits that are still missing after this scan."""


@dataclass
class JpegHeader:
    """The frame and the scans of a JPEG."""

    coding: str = ""
    precision: int = 8
    """Bits of a sample."""
    width: int = 0
    height: int = 0
    components: tuple[int, ...] = ()
    has_exif: bool = False
    start: int = 0
    """The position of the first scan."""
    scans: list[Scan] = field(default_factory=list)

    @property
    def is_plain(self) -> bool:
        """True if libjpeg decodes the JPEG in one pass. It then holds only a few rows in memory."""
        return (
            self.coding in ("baseline", "extended")
            and len(self.scans) == 1
            and len(self.scans[0].components) == len(self.components)
        )

    @property
    def is_progressive(self) -> bool:
        """True if the scans add detail one after another."""
        return "progressive" in self.coding

    @property
    def lacks_scans(self) -> bool:
        """True if scans are missing. The picture then has no colour or no detail, and libjpeg does not warn of this."""
        if self._scanned() != {*self.components}:
            return True
        if not self.is_progressive:
            return False
        brightness = [scan for scan in self.scans if self.components[0] in scan.components]
        covered = {index for scan in brightness for index in range(scan.first, scan.last + 1)}
        return len(covered) <= _LAST_COEFFICIENT

    @property
    def ends_with_first_pass(self) -> bool:
        """True if the last scan has coefficients that no earlier scan had."""
        return self.is_progressive and self.scans[-1].high == 0

    def _scanned(self) -> set[int]:
        return {component for scan in self.scans if scan.first == 0 for component in scan.components}


def read_jpeg_header(data: bytes) -> JpegHeader | None:
    """Read the markers of a JPEG up to the end of its picture.

    Args:
        data: the bytes of a file that starts with `START`.

    Returns:
        the header; None if the markers are not as the standard has them.

    Raises:
        UnreadableImage: the JPEG has more than 100 scans, or more than 10,000 segments.
    """
    header, position = JpegHeader(), 2
    try:
        for _ in range(_MOST_SEGMENTS):
            if header.scans:
                match = _MARKER.search(data, position)
                if match is None:  # cut off; decoders say so
                    return header
                position = match.start()
            if data[position] != _PREFIX:
                return None
            marker = data[position + 1]
            if marker == _EOI:
                return header if header.scans else None
            if marker in _WITHOUT_LENGTH:
                position += 1 if marker == _PREFIX else 2
                continue
            length = data[position + 2] << 8 | data[position + 3]
            if marker in _NOTED:
                segment = data[position + 4 : position + 2 + length]
                if len(segment) != length - 2 or not _note_segment(header, marker, segment, position):
                    return header if header.scans else None
            position += 2 + length
    except IndexError:  # cut off
        return header if header.scans else None
    raise UnreadableImage(f"a JPEG with more than {_MOST_SEGMENTS:,} segments; save the photo again")


def _note_segment(header: JpegHeader, marker: int, segment: bytes, position: int) -> bool:
    """Take from a segment what the header needs, and return whether the segment is well-formed."""
    if marker == _SOS:
        header.start = header.start or position
        return _note_scan(header, segment)
    if marker == _APP1:
        header.has_exif = header.has_exif or segment.startswith(b"Exif\0")
        return True
    return _note_frame(header, marker, segment)


def _note_frame(header: JpegHeader, marker: int, segment: bytes) -> bool:
    if header.components or len(segment) < 6 or len(segment) < 6 + 3 * segment[5]:
        return False
    header.coding, header.precision = _FRAMES[marker], segment[0]
    header.height, header.width = int.from_bytes(segment[1:3], "big"), int.from_bytes(segment[3:5], "big")
    header.components = tuple(segment[6 : 6 + 3 * segment[5] : 3])
    return header.height > 0 and header.width > 0 and bool(header.components)


def _note_scan(header: JpegHeader, segment: bytes) -> bool:
    if not header.components or len(segment) < 1 or len(segment) < 4 + 2 * segment[0]:
        return False
    if len(header.scans) == MAX_JPEG_SCANS:
        raise UnreadableImage(
            f"a JPEG with more than {MAX_JPEG_SCANS} scans, which would take very long to decode; save the photo again"
        )
    end = 1 + 2 * segment[0]
    first, last, bits = segment[end : end + 3]
    header.scans.append(Scan(tuple(segment[1:end:2]), first, last, bits >> 4, bits & 15))
    return True
