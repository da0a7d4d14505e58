"""Tests of JPEGs that are damaged inside although their end marker is in place."""

import numpy as np
import pytest
from PIL import Image

from reconcile.images import UnreadableImage, read_photo, thumbnail
from reconcile.imaging.jpeg import DAMAGED
from tests.unit.imaging.pictures import (
    cut_with_end_marker,
    encoded,
    start_of_pixels,
    textured,
    with_gap,
    with_zeros,
)

SOUND = encoded(textured(), "JPEG", quality=90)
PROGRESSIVE = encoded(textured(), "JPEG", quality=90, progressive=True)
ROTATED = Image.Exif()
ROTATED[0x0112] = 6


@pytest.mark.parametrize(
    "jpeg",
    [
        SOUND,
        encoded(textured(), "JPEG", exif=ROTATED),
        encoded(textured().convert("CMYK"), "JPEG"),
        encoded(textured().convert("L"), "JPEG"),
    ],
    ids=["upright", "rotated", "CMYK", "grey"],
)
def test_jpeg_without_a_third_of_its_picture_is_unreadable(jpeg):
    with pytest.raises(UnreadableImage, match=r"damaged image: about 3\d% of the picture is missing"):
        read_photo(cut_with_end_marker(jpeg, 0.66), 64)
    assert read_photo(jpeg, 64).facts.note is None


@pytest.mark.parametrize(
    "jpeg",
    [
        SOUND,
        encoded(textured(), "JPEG", exif=ROTATED),
        encoded(textured().convert("CMYK"), "JPEG"),
        PROGRESSIVE,
    ],
    ids=["upright", "rotated", "CMYK", "progressive"],
)
def test_jpeg_with_a_small_gap_is_counted_with_a_note(jpeg):
    photo = read_photo(with_gap(jpeg, 0.3, 100), 64)
    assert photo.facts.note == DAMAGED
    assert photo.pixels.std() > 10


def test_jpeg_with_lost_sectors_is_unreadable():
    with pytest.raises(UnreadableImage, match="of the picture is missing"):
        read_photo(with_zeros(SOUND, 0.4, len(SOUND) // 4), 64)


def test_upload_into_a_preallocated_file_is_unreadable():
    start = start_of_pixels(SOUND)
    half = start + (len(SOUND) - start) // 2
    with pytest.raises(UnreadableImage, match="of the picture is missing"):
        read_photo(SOUND[:half] + bytes(len(SOUND) - half), 64)


def test_padding_of_a_whole_picture_is_no_damage():
    padded = SOUND[:-2] + bytes(5000) + b"\xff\xd9"
    photo = read_photo(padded, 64)
    assert photo.facts.note is None
    assert np.array_equal(photo.pixels, read_photo(SOUND, 64).pixels)


def test_missing_end_marker_is_noted():
    assert read_photo(SOUND[:-2], 64).facts.note == DAMAGED


def test_progressive_jpeg_without_its_last_scans_is_unreadable():
    scans = [at for at in range(len(PROGRESSIVE)) if PROGRESSIVE[at : at + 2] == b"\xff\xda"]
    with pytest.raises(UnreadableImage, match="ends before its last scans"):
        read_photo(PROGRESSIVE[: scans[2]] + b"\xff\xd9", 64)


def test_garbage_between_segments_is_noted():
    assert read_photo(SOUND[:20] + b"\x00\x01\x02" + SOUND[20:], 64).facts.note == DAMAGED


def test_thumbnail_of_a_damaged_jpeg_follows_the_same_rule():
    assert thumbnail(with_gap(SOUND, 0.5, 100), 64)
    with pytest.raises(UnreadableImage, match="of the picture is missing"):
        thumbnail(cut_with_end_marker(SOUND, 0.5), 64)


def test_png_with_a_wrong_checksum_is_unreadable():
    png = bytearray(encoded(textured(), "PNG", compress_level=0))
    png[len(png) // 2] ^= 1
    with pytest.raises(UnreadableImage, match="checksum"):
        read_photo(bytes(png), 64)
