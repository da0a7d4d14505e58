"""Decode every format but the usual JPEG with Pillow, one strip of the picture after another."""

from __future__ import annotations

import io
import struct
import sys
import warnings
import zlib
from typing import TYPE_CHECKING

import numpy as np
from PIL import (
    AvifImagePlugin,
    Image,
    Jpeg2KImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from reconcile.imaging.formats import image_format, refuse_raw_tiff
from reconcile.imaging.limits import TOO_MUCH_MEMORY, UnreadableImage, check_pixels
from reconcile.imaging.orientation import exif_orientation, turn_upright
from reconcile.imaging.picture_size import SCALED_PIXELS, picture_size, tiff_tags
from reconcile.imaging.sample_depth import SampleRange, float_range, integer_range

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


# Image.open finds these formats by name only after their plugins are imported.
_PLUGINS = (AvifImagePlugin, Jpeg2KImagePlugin, TiffImagePlugin, WebPImagePlugin)
_STRIP_PIXELS = 1_000_000
_WIDE_MODES = ("I", "F")
"""Modes whose samples have more than 8 bits begin with these letters."""
_DARK_HIGH_BYTE = 2**6
"""If no high byte of a 16-bit picture is larger, all samples fit into 14 bits."""
_SWAPPED = {";16B": ";16L", ";16L": ";16B", ";16N": ";16B" if sys.byteorder == "little" else ";16L"}
"""Pillow keeps only the high byte of 16-bit colours. With the other byte order it keeps the low byte."""
_NEW_SUBFILE_TYPE, _BITS, _PHOTOMETRIC, _DNG_VERSION = 254, 258, 262, 50706
_WHITE_IS_ZERO = 0
_SENSOR_PHOTOMETRICS = (32803, 34892)
"""Colour filter array and linear raw, from the TIFF/EP and DNG specifications."""
_PNG_BITS_AT, _PNG_CHUNKS_AT = 24, 8
# `limits.check_pixels` refuses decompression bombs with a reason that a person can act on.
Image.MAX_IMAGE_PIXELS = None
AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # each thread would need memory of its own


def decode_with_pillow(data: bytes, size: int, *, keeps_aspect: bool = False) -> tuple[Image.Image, str | None]:
    """Decode an image of any format that reconcile reads, and turn it upright.

    Args:
        data: the bytes of the file.
        size: the side in pixels that the picture is going to have.
        keeps_aspect: whether a large picture is made smaller by the same factor in both directions.

    Returns:
        the picture in RGB, of at least `size` pixels if it had as many, and a note if something about it is odd.

    Raises:
        UnreadableImage: the image is damaged, too large, or of a format that is not read.
    """
    name = image_format(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _check_file(data, name)
            image = _open(data, name)
            check_pixels(*image.size)
            _reduce_while_decoding(image, data, name, size)
            image.load()
            samples, low_bytes = _sample_range(image, data, name)
            picture = _convert(image, low_bytes, samples, _factors(image.size, size, keeps_aspect=keeps_aspect))
            return turn_upright(picture, exif_orientation(image)), None if samples is None else samples.note
    except UnreadableImage:
        raise
    except MemoryError:
        raise UnreadableImage(TOO_MUCH_MEMORY) from None
    except UnidentifiedImageError:
        raise UnreadableImage(f"damaged image: the header of the {name} file cannot be read") from None
    except Exception as error:  # on broken bytes, decoders raise any kind of error
        raise UnreadableImage(f"damaged image: {error}") from None


def _open(data: bytes, name: str) -> Image.Image:
    if name == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener(thumbnails=False)
        pillow_heif.options.DECODE_THREADS = 1
    return Image.open(io.BytesIO(data), formats=(name,))


def _check_file(data: bytes, name: str) -> None:
    """Check what Pillow does not.

    Raises:
        UnreadableImage: a camera wrote the TIFF, or a checksum of the PNG is wrong.
    """
    if name == "TIFF":
        try:
            tags = tiff_tags(data)
        except struct.error:
            return
        refuse_raw_tiff(
            is_digital_negative=_DNG_VERSION in tags,
            is_preview=bool(tags.get(_NEW_SUBFILE_TYPE, 0) & 1),
            is_sensor_data=tags.get(_PHOTOMETRIC) in _SENSOR_PHOTOMETRICS,
        )
    elif name == "PNG" and not _checksums_are_right(data):
        raise UnreadableImage("damaged image: a checksum of the PNG is wrong; upload the photo again")


def _checksums_are_right(data: bytes) -> bool:
    """Check the pixels of a PNG. Pillow does not, and damaged pixels may decode without an error."""
    at = _PNG_CHUNKS_AT
    while at + 12 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        end = at + 8 + length
        if end + 4 > len(data) or kind == b"IEND":
            break
        if kind == b"IDAT" and zlib.crc32(memoryview(data)[at + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return False
        at = end + 4
    return True


def _reduce_while_decoding(image: Image.Image, data: bytes, name: str, size: int) -> None:
    """Let the decoder scale, if it can."""
    if isinstance(image, Jpeg2KImagePlugin.Jpeg2KImageFile):
        header = picture_size(data, name)
        if header is not None and (halvings := header.halvings(size)):
            image.reduce = halvings
    else:
        image.draft("RGB", (size, size))


def _factors(pixels: tuple[int, int], size: int, *, keeps_aspect: bool) -> tuple[int, int]:
    """Return by how much a large picture is made smaller in each direction, before it is resized."""
    width, height = pixels
    if width * height <= SCALED_PIXELS:
        return 1, 1
    if keeps_aspect:
        factor = max(1, max(width, height) // (2 * size))
        return factor, factor
    return max(1, width // (2 * size)), max(1, height // (2 * size))


def _sample_range(image: Image.Image, data: bytes, name: str) -> tuple[SampleRange | None, Image.Image | None]:
    """Return how wide samples become 8 bits, and a picture of the low bytes if Pillow has left these out.

    Raises:
        UnreadableImage: the range of the samples is not known.
    """
    tags = tiff_tags(data) if name == "TIFF" else {}
    if image.mode.startswith(_WIDE_MODES):
        is_inverted = tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
        extremes = [(part.min(), part.max()) for part in map(np.asarray, _strips(image))]
        low, high = (float(value) for value in (np.min([e[0] for e in extremes]), np.max([e[1] for e in extremes])))
        scaled = float_range if image.mode == "F" else integer_range
        return scaled(low, high, is_inverted=is_inverted), None
    bits = data[_PNG_BITS_AT] if name == "PNG" else tags.get(_BITS, 8)
    if bits != 16 or image.mode not in ("RGB", "RGBA", "RGBX", "LA", "CMYK"):
        return None, None
    colours = image.getbands()[: 1 if image.mode == "LA" else 3]
    most = max(int(np.asarray(strip).max()) for colour in colours for strip in _strips(image.getchannel(colour)))
    if most >= _DARK_HIGH_BYTE:
        return None, None
    low_bytes = _decode_low_bytes(data, name)
    most_exactly = max(
        int(_both_bytes(high, low).max())
        for colour in colours
        for high, low in zip(_strips(image.getchannel(colour)), _strips(low_bytes.getchannel(colour)), strict=True)
    )
    return integer_range(0, most_exactly), low_bytes


def _decode_low_bytes(data: bytes, name: str) -> Image.Image:
    """Decode a picture of 16-bit colours once more, to get its low bytes.

    Raises:
        UnreadableImage: Pillow cannot decode them.
    """
    image = _open(data, name)
    tiles = []
    for tile in image.tile:  # type: ignore[attr-defined]
        mode = tile.args if isinstance(tile.args, str) else tile.args[0]
        ending = mode[-4:]
        if ending not in _SWAPPED or not mode.startswith(("RGB", "R;", "G;", "B;", "A;")):
            raise UnreadableImage(
                "16 bits a colour, but only small values, so the range is not known; save the photo with 8 bits"
            )
        swapped = mode[:-4] + _SWAPPED[ending]
        tiles.append(tile._replace(args=swapped if isinstance(tile.args, str) else (swapped, *tile.args[1:])))
    image.tile = tiles  # type: ignore[attr-defined]
    image.load()
    return image


def _both_bytes(high: Image.Image, low: Image.Image) -> NDArray[np.uint16]:
    both: NDArray[np.uint16] = 256 * np.asarray(high, np.uint16) + np.asarray(low)
    return both


def _strips(image: Image.Image, multiple: int = 1) -> Iterator[Image.Image]:
    """Yield the picture from top to bottom, in strips whose heights are multiples of a number."""
    rows = max(_STRIP_PIXELS // image.width // multiple, 1) * multiple
    if rows >= image.height:
        yield image
        return
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(top + rows, image.height)))


def _convert(
    image: Image.Image, low_bytes: Image.Image | None, samples: SampleRange | None, factors: tuple[int, int]
) -> Image.Image:
    """Return a picture in RGB, made smaller by whole factors. Only `image` ever has all pixels."""
    if image.mode == "RGB" and factors == (1, 1) and samples is None and not image.has_transparency_data:
        return image
    across, down = factors
    picture = Image.new("RGB", (-(-image.width // across), -(-image.height // down)))
    top = 0
    lows = iter([None] * image.height) if low_bytes is None else _strips(low_bytes, down)
    for strip, low in zip(_strips(image, down), lows, strict=False):
        part = _as_rgb(strip, low, samples)
        if factors != (1, 1):
            part = part.reduce(factors)
        picture.paste(part, (0, top))
        top += part.height
    return picture


def _as_rgb(image: Image.Image, low_bytes: Image.Image | None, samples: SampleRange | None) -> Image.Image:
    if samples is not None and low_bytes is not None:
        colours = [samples.as_bytes(_both_bytes(image.getchannel(band), low_bytes.getchannel(band))) for band in "RGB"]
        scaled = Image.fromarray(np.dstack(colours))
        if "A" in image.getbands():
            scaled.putalpha(image.getchannel("A"))
        image = scaled
    elif samples is not None:
        return Image.fromarray(samples.as_bytes(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")
