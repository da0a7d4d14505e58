"""Image bytes to model input. Training, calibration, evaluation, serving and runs all use `read_photo`."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from reconcile.concurrency.byte_budget import ByteBudget
from reconcile.imaging.decoding import decode_square, decode_thumbnail, plan_decoding
from reconcile.imaging.limits import MAX_DECODED_BYTES, MAX_IMAGE_BYTES, UnreadableImage, check_size
from reconcile.imaging.worker_pool import DecodeRequest, workers
from reconcile.imaging.worker_protocol import SQUARE, THUMBNAIL

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from reconcile.imaging.decoding import DecodePlan

__all__ = (
    "MAX_IMAGE_BYTES",
    "PREPROCESSING",
    "Photo",
    "PhotoFacts",
    "UnreadableImage",
    "check_size",
    "load_image",
    "read_photo",
    "thumbnail",
    "upright_webp",
)
PREPROCESSING = "squash-v1"
"""The version of `load_image`. An exported model holds the version it was trained with, and no other is accepted."""
_LONGEST_WEBP = 16_383
"""The longest side of a WebP in pixels."""
_FREE_BYTES = 4 * 2**20
"""Decoding that needs less memory does not count towards the budget."""
_TILES = 20
_BLANK_SPREAD = 3.0
"""The standard deviation of the mean brightness of the tiles below which a photo is blank.

Of 6,401 photos of the Amazon Bin Image Dataset, none had less than 7.2.
"""
_NOISE_RANGE = 40
"""A range of levels that noise of the sensor hardly reaches in a small picture."""
_DECODED = ByteBudget(MAX_DECODED_BYTES)
"""The memory of all decoders of this process: of counting, of the report and of the server together."""


class PhotoFacts(NamedTuple):
    """What is known of a photo besides its pixels. The counts keep it."""

    note: str | None = None
    """Something odd about the photo, which can be counted all the same."""
    is_blank: bool | None = None
    """Whether the photo has nearly one colour."""
    content_hash: int | None = None
    """A number that is the same for files with the same bytes, and differs for nearly all others."""


class Photo(NamedTuple):
    """A decoded photo."""

    pixels: NDArray[np.uint8]
    """uint8 [S, S, 3], RGB."""
    facts: PhotoFacts


def load_image(data: bytes, size: int, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Return the pixels of a photo. The arguments and errors are those of `read_photo`."""
    return read_photo(data, size, out).pixels


def read_photo(data: bytes, size: int, out: NDArray[np.uint8] | None = None) -> Photo:
    """Decode an image, turn it upright and resize it to a square.

    The aspect ratio is not kept, because half of the training photos were available only as squares.
    A model must not be able to distinguish the two halves.

    The usual JPEGs are decoded in this thread. For everything else the thread waits for a process of its own, which is
    ended after 20 seconds of CPU time. All decoders together use at most `MAX_DECODED_BYTES`.

    Args:
        data: the bytes of a JPEG, PNG, WebP, TIFF, BMP, GIF, PPM, JPEG 2000 or AVIF file, or of a HEIC file if
            pillow-heif is installed. Greyscale, CMYK, palette, 16-bit and EXIF-rotated images are accepted. Transparent
            pixels become white. An animation gives its first frame.
        size: S, the side of the square in pixels.
        out: uint8 [S, S, 3] to write into, such as one row of a batch, so that the pixels are copied once.

    Returns:
        the pixels, which are `out` if given, and what else is known of the photo.

    Raises:
        UnreadableImage: the data are empty, damaged, not an image or of a format that is not read, or decoding them
            would take too much memory or time. The message is the reason.
        ReconcileError: no process can be started to decode the photo.
    """
    plan = plan_decoding(data, size)
    if plan.needs_worker:
        note, raw = _ask_worker(data, size, plan, SQUARE)
        pixels: NDArray[np.uint8] = np.frombuffer(raw, np.uint8).reshape(size, size, 3)
    else:
        square, note = _decode_here(data, size, plan)
        pixels = np.asarray(square)
    if out is not None:
        out[...] = pixels
        pixels = out
    return Photo(pixels, PhotoFacts(note, is_blank(pixels), content_hash(data)))


def thumbnail(data: bytes, longest: int) -> bytes:
    """Return a small upright WebP of a photo for people to look at. The aspect ratio is kept.

    Args:
        data: the bytes of an image, as for `read_photo`.
        longest: the longer side in pixels.

    Raises:
        UnreadableImage: as for `read_photo`.
        ReconcileError: as for `read_photo`.
    """
    plan = plan_decoding(data, longest)
    if plan.needs_worker:
        return _ask_worker(data, longest, plan, THUMBNAIL)[1]
    if plan.byte_count < _FREE_BYTES:
        return decode_thumbnail(data, longest, plan.jpeg)
    with _DECODED.held(plan.byte_count):
        return decode_thumbnail(data, longest, plan.jpeg)


def upright_webp(data: bytes) -> bytes:
    """Return a photo as an upright WebP of its original resolution, for browsers that cannot show its format.

    Args:
        data: the bytes of an image, as for `read_photo`.

    Raises:
        UnreadableImage: as for `read_photo`.
        ReconcileError: as for `read_photo`.
    """
    return thumbnail(data, _LONGEST_WEBP)


def is_blank(pixels: NDArray[np.uint8]) -> bool:
    """Return whether a photo has nearly one brightness everywhere. Noise of the sensor does not count.

    Args:
        pixels: uint8 [S, S, 3].
    """
    step = max(len(pixels) // _TILES, 1)
    sample = pixels[step // 2 :: 2 * step, step // 2 :: 2 * step, 1].tobytes()
    if max(sample) - min(sample) > _NOISE_RANGE:  # numpy would take longer for so few
        return False  # nearly all photos end here
    tiles = len(pixels) // step
    side = tiles * step
    means = pixels[:side, :side].reshape(tiles, step, tiles, step, 3).mean(axis=(1, 3))
    return bool(means.std(axis=(0, 1)).max() < _BLANK_SPREAD)


def content_hash(data: bytes) -> int:
    """Return the number of `PhotoFacts.content_hash`: the length and the CRC-32 of a file."""
    return len(data) << 32 | zlib.crc32(data)


def _decode_here(data: bytes, size: int, plan: DecodePlan) -> tuple[Image.Image, str | None]:
    if plan.byte_count < _FREE_BYTES:
        return decode_square(data, size, plan.jpeg)
    with _DECODED.held(plan.byte_count):
        return decode_square(data, size, plan.jpeg)


def _ask_worker(data: bytes, size: int, plan: DecodePlan, kind: int) -> tuple[str | None, bytes]:
    with _DECODED.held(plan.byte_count):
        return workers().decode(DecodeRequest(kind, size, plan.byte_count, data))
