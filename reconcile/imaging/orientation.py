"""Turn pictures upright, as EXIF asks for."""

from __future__ import annotations

from PIL import Image

_EXIF_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def exif_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of an opened file, 1 for upright."""
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # the pixels may be sound although the EXIF data are broken
        return 1


def turn_upright(picture: Image.Image, orientation: int) -> Image.Image:
    """Undo an EXIF orientation. An unknown one is ignored."""
    turn = _TURNS.get(orientation)
    return picture if turn is None else picture.transpose(turn)
