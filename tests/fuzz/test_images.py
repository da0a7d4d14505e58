"""Fuzz tests of images: damaged bytes are counted or refused, with bounded memory."""

import io
import resource

import numpy as np
import pytest
from PIL import Image

from reconcile.images import UnreadableImage, load_image, thumbnail
from reconcile.serving.responses import without_file_content
from tests.fuzz.inputs import changed, fuzz

SIDE = 32
MOST_KILOBYTES = 400_000
"""The most by which the memory of this process may grow."""


def peak_kilobytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.fixture(scope="module")
def peak_before():
    """Return the peak memory of this process, which other tests may have used before."""
    return peak_kilobytes()


def photos():
    """Return small photos of all formats and some modes. They are made by code, so no photo is in the corpus."""
    noise = np.random.default_rng(0).integers(0, 256, (20, 24, 4), dtype=np.uint8)
    wanted = [
        ("JPEG", "RGB", {}),
        ("JPEG", "L", {"progressive": True}),
        ("JPEG", "CMYK", {}),
        ("PNG", "RGBA", {}),
        ("PNG", "P", {}),
        ("PNG", "I;16", {}),
        ("TIFF", "RGB", {"compression": "tiff_lzw"}),
        ("TIFF", "F", {}),
        ("WEBP", "RGB", {}),
        ("GIF", "P", {}),
        ("BMP", "RGB", {}),
        ("PPM", "RGB", {}),
        ("JPEG2000", "RGB", {}),
    ]
    files = []
    for kind, mode, options in wanted:
        buffer = io.BytesIO()
        image = Image.fromarray(noise)
        if mode == "I;16":
            image = Image.fromarray(noise[:, :, 0].astype(np.uint16) * 16)
        elif mode != "RGBA":
            image = image.convert("RGB").convert(mode)
        image.save(buffer, kind, **options)
        files.append(buffer.getvalue())
    return files


@fuzz(2200, changed(photos()))
def test_damaged_image_is_decoded_or_refused(peak_before, data):
    try:
        pixels = load_image(data, SIDE)
    except UnreadableImage as error:
        reason = without_file_content(str(error))
        assert reason
        assert data[:8].hex(" ") not in reason or not data
    else:
        assert (pixels.shape, pixels.dtype) == ((SIDE, SIDE, 3), np.uint8)
    assert peak_kilobytes() < peak_before + MOST_KILOBYTES


@fuzz(400, changed(photos()))
def test_damaged_image_has_a_small_thumbnail_or_is_refused(data):
    try:
        small = thumbnail(data, SIDE)
    except UnreadableImage:
        return
    with Image.open(io.BytesIO(small)) as image:
        assert max(image.size) <= SIDE
