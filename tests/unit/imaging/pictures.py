"""Pictures that are hard on a decoder."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def textured(width: int = 320, height: int = 240) -> Image.Image:
    """Return a picture whose every block has detail."""
    noise = np.random.default_rng(1).integers(40, 220, (height // 8, width // 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def start_of_pixels(jpeg: bytes) -> int:
    return jpeg.rindex(b"\xff\xda") + 14


def cut_with_end_marker(jpeg: bytes, kept: float) -> bytes:
    """Return a JPEG that lost the end of its pixels, but has its end marker."""
    start = start_of_pixels(jpeg)
    return jpeg[: start + int(kept * (len(jpeg) - 2 - start))] + b"\xff\xd9"


def with_gap(jpeg: bytes, at: float, length: int) -> bytes:
    """Return a JPEG that lost some bytes in the middle."""
    start = start_of_pixels(jpeg)
    gap = start + int(at * (len(jpeg) - start))
    return jpeg[:gap] + jpeg[gap + length :]


def with_zeros(jpeg: bytes, at: float, length: int) -> bytes:
    """Return a JPEG with a sector of zeros."""
    start = start_of_pixels(jpeg)
    gap = start + int(at * (len(jpeg) - start))
    return jpeg[:gap] + bytes(length) + jpeg[gap + length :]


def with_many_scans(scans: int, side: int = 64) -> bytes:
    """Return a progressive JPEG that repeats its last scan."""
    sound = encoded(Image.new("L", (side, side)), "JPEG", progressive=True)
    return sound[:-2] + sound[sound.rfind(b"\xff\xda") : -2] * scans + b"\xff\xd9"


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """Return a PNG with the given rows, each of which begins with a zero. There may be fewer than the header says."""
    body = zlib.compress(rows, 1)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def sixteen_bit_png(samples: np.ndarray) -> bytes:
    """Return a PNG of 16 bits from uint16 [height, width, channels]."""
    height, width, channels = samples.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    return png(width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], rows)


def webp_that_claims(side: int) -> bytes:
    """Return a WebP of 34 bytes."""
    body = b"VP8L" + struct.pack("<I", 13) + b"\x2f" + struct.pack("<I", (side - 1) | (side - 1) << 14) + bytes(9)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def box(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", 8 + len(data)) + kind + data


def tiff(tags: dict[int, int], pixels: bytes = b"") -> bytes:
    """Return a TIFF with one picture, whose tags are whole numbers. The pixels follow the tags."""
    end = 8 + 2 + 12 * (len(tags) + 1) + 4
    tags = tags | {273: end}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + pixels
