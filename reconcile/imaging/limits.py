"""Limits of one photo, and the error for a photo that cannot be counted."""

from __future__ import annotations

MAX_IMAGE_BYTES = 32 * 2**20
MAX_IMAGE_PIXELS = 100_000_000
MAX_IMAGE_SIDE = 65_535
"""The longest side in pixels. JPEG allows no longer one."""
MAX_DECODED_BYTES = 320 * 2**20
"""The memory that decoders may use at the same time, and the most that one photo may need."""
MAX_JPEG_SCANS = 100
"""The largest number of scans in a JPEG. Plain photos have one scan, and progressive ones have about ten."""
MAX_CPU_SECONDS = 20
"""The largest CPU time for decoding one photo."""
TOO_MUCH_MEMORY = "decoding this photo needs too much memory; save it as JPEG or with fewer pixels"
"""The reason for a photo whose decoder asked for more memory than its header suggests."""


class UnreadableImage(ValueError):
    """Bytes that are not an image that can be counted. The message is the reason in the report."""


def check_size(byte_count: int) -> None:
    """Check the size of an object before it is fetched or decoded.

    Raises:
        UnreadableImage: the object is empty or over 32 MB.
    """
    if byte_count == 0:
        raise UnreadableImage("the object is empty (0 bytes)")
    if byte_count > MAX_IMAGE_BYTES:
        raise UnreadableImage(f"{byte_count / 2**20:.0f} MB, over the limit of {MAX_IMAGE_BYTES // 2**20} MB")


def check_pixels(width: int, height: int) -> None:
    """Check the size of a picture before it is decoded.

    Raises:
        UnreadableImage: the picture has over 100 megapixels, or a side over 65,535 pixels.
    """
    if width * height > MAX_IMAGE_PIXELS:
        megapixels = f"{width * height / 1e6:.0f} megapixels ({width}x{height})"
        raise UnreadableImage(f"{megapixels}, over the limit of {MAX_IMAGE_PIXELS // 1_000_000}")
    if max(width, height) > MAX_IMAGE_SIDE:
        raise UnreadableImage(f"{width}x{height} pixels, and a side may have at most {MAX_IMAGE_SIDE:,}")


def check_decoded_bytes(byte_count: int, width: int, height: int) -> None:
    """Check the memory that a decoder needs.

    Raises:
        UnreadableImage: one photo may not use so much memory.
    """
    if byte_count > MAX_DECODED_BYTES:
        megapixels = f"{width * height / 1e6:.0f} megapixels ({width}x{height})"
        raise UnreadableImage(
            f"{megapixels} of this format need about {byte_count / 2**20:,.0f} MB of memory, over the limit of "
            f"{MAX_DECODED_BYTES // 2**20} MB; save the photo as JPEG or with fewer pixels"
        )
