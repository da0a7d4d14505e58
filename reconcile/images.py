"""Image bytes to model input. Training, calibration, evaluation, serving and runs all use `load_image`."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

import numpy as np
import simplejpeg
from PIL import Image, ImageOps, Jpeg2KImagePlugin, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin

if TYPE_CHECKING:
    from numpy.typing import NDArray


PREPROCESSING = "squash-v1"
"""The version of `load_image`. An exported model holds the version it was trained with, and no other is accepted."""

MAX_IMAGE_BYTES = 32 * 1024 * 1024
MAX_IMAGE_PIXELS = 100_000_000
_LONGEST_WEBP = 16_383
"""The longest side of a WebP in pixels."""

# Pillow reads more formats. Some of their decoders start other programs: EPS runs Ghostscript.
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000")
# Image.open finds these formats by name only after their plugins are imported.
_PLUGINS = (Jpeg2KImagePlugin, TiffImagePlugin, WebPImagePlugin)
_EXIF_SCAN_BYTES = 65_536
_EXIF_ORIENTATION = 0x0112
# `_check_pixels` refuses decompression bombs with a reason that a person can act on.
Image.MAX_IMAGE_PIXELS = None


class UnreadableImage(ValueError):
    """Bytes that are not an image that can be counted. The message is the reason in the report."""


def load_image(data: bytes, size: int, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Decode an image, turn it upright and resize it to a square.

    The aspect ratio is not kept, because half of the training photos were available only as squares.
    A model must not be able to distinguish the two halves.

    Args:
        data: the bytes of a JPEG, PNG, WebP, TIFF, BMP, GIF, PPM or JPEG 2000 file. Greyscale, CMYK, palette, 16-bit
            and EXIF-rotated images are accepted. Transparent pixels become white. An animation gives its first frame.
        size: S, the side of the square in pixels.
        out: uint8 [S, S, 3] to write into, such as one row of a batch, so that the pixels are copied once.

    Returns:
        uint8 [S, S, 3], RGB; `out` if given.

    Raises:
        UnreadableImage: the data are empty, truncated, not an image, over 32 MB or over 100 megapixels. Size and
            megapixels are checked before decoding.
    """
    check_size(len(data))
    image = _decode_jpeg(data, size) if data[:2] == b"\xff\xd8" else None
    if image is None:
        image = _decode_with_pillow(data, size)
    square = image if image.size == (size, size) else image.resize((size, size), Image.Resampling.BILINEAR)
    pixels = np.asarray(square)
    if out is None:
        return pixels
    out[...] = pixels
    return out


def thumbnail(data: bytes, longest: int) -> bytes:
    """Return a small upright WebP of a photo for people to look at. The aspect ratio is kept.

    Args:
        data: the bytes of an image, as for `load_image`.
        longest: the longer side in pixels.

    Raises:
        UnreadableImage: as for `load_image`.
    """
    check_size(len(data))
    image = (_decode_jpeg(data, longest) if data[:2] == b"\xff\xd8" else None) or _decode_with_pillow(data, longest)
    image.thumbnail((longest, longest))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=70)
    return buffer.getvalue()


def upright_webp(data: bytes) -> bytes:
    """Return a photo as an upright WebP of its original resolution, for browsers that cannot show its format.

    Args:
        data: the bytes of an image, as for `load_image`.

    Raises:
        UnreadableImage: as for `load_image`.
    """
    check_size(len(data))
    image = _decode_with_pillow(data, _LONGEST_WEBP)
    image.thumbnail((_LONGEST_WEBP, _LONGEST_WEBP))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=85)
    return buffer.getvalue()


def check_size(byte_count: int) -> None:
    """Check the size of an object before it is fetched or decoded.

    Raises:
        UnreadableImage: the object is empty or over 32 MB.
    """
    if byte_count == 0:
        raise UnreadableImage("the object is empty (0 bytes)")
    if byte_count > MAX_IMAGE_BYTES:
        raise UnreadableImage(f"{byte_count / 2**20:.0f} MB, over the limit of {MAX_IMAGE_BYTES // 2**20} MB")


def _check_pixels(width: int, height: int) -> None:
    if width * height > MAX_IMAGE_PIXELS:
        megapixels = f"{width * height / 1e6:.0f} megapixels ({width}x{height})"
        raise UnreadableImage(f"{megapixels}, over the limit of {MAX_IMAGE_PIXELS // 1_000_000}")


def _decode_jpeg(data: bytes, size: int) -> Image.Image | None:
    """Decode a plain upright JPEG with libjpeg-turbo; return None if Pillow has to decode the data."""
    try:
        height, width, colour_space, _ = simplejpeg.decode_jpeg_header(data, strict=False)
    except (ValueError, KeyError):  # simplejpeg raises KeyError for unknown values in the header
        return None
    _check_pixels(width, height)
    if colour_space in ("CMYK", "YCCK") or _is_rotated(data):
        return None
    try:
        # libjpeg scales while it decodes, to the smallest size that still covers the square.
        pixels = simplejpeg.decode_jpeg(data, min_height=min(size, height), min_width=min(size, width), strict=True)
    except ValueError:
        return None
    return Image.fromarray(pixels)


def _is_rotated(data: bytes) -> bool:
    if b"Exif\x00" not in data[:_EXIF_SCAN_BYTES]:
        return False
    try:
        with Image.open(io.BytesIO(data)) as image:
            return bool(image.getexif().get(_EXIF_ORIENTATION, 1) != 1)
    except Exception:  # the pixels may be sound although the EXIF data are broken
        return False


def _decode_with_pillow(data: bytes, size: int) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                _check_pixels(*image.size)
                image.draft("RGB", (size, size))
                image.load()
                return _as_rgb(ImageOps.exif_transpose(image))
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise UnreadableImage(f"not an image ({_looks_like(data)})") from None
    except Exception as error:  # on broken bytes, decoders raise any kind of error
        raise UnreadableImage(f"damaged image: {error}") from None


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        levels = np.asarray(image, dtype=np.float32)
        # 16-bit images use the whole range of values; 8-bit values that are stored in wider pixels do not.
        scale = 1 / 257 if levels.max(initial=0) > 255 else 1.0
        return Image.fromarray(np.clip(levels * scale, 0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def _looks_like(data: bytes) -> str:
    start = data[:64].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "the bytes look like HTML or XML"
    if start.startswith((b"{", b"[")):
        return "the bytes look like JSON"
    if start.startswith(b"%pdf"):
        return "the bytes look like a PDF"
    return "first bytes " + data[:8].hex(" ")
