"""Tests of pictures with more than 8 bits a sample."""

import numpy as np
import pytest
from PIL import Image

from reconcile.images import UnreadableImage, load_image, read_photo
from tests.unit.imaging.pictures import encoded, sixteen_bit_png, textured, tiff

GREY = np.asarray(textured().convert("L"))
COLOURS = np.asarray(textured())


def differs_little(data: bytes, picture: np.ndarray) -> bool:
    expected = load_image(encoded(Image.fromarray(picture), "PNG"), 64).astype(int)
    return np.abs(load_image(data, 64) - expected).mean() < 3


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_grey_samples_of_few_bits_are_scaled_with_a_note(bits, kind):
    data = encoded(Image.fromarray(GREY.astype(np.uint16) << (bits - 8)), kind)
    assert differs_little(data, GREY)
    assert f"use only {bits}" in read_photo(data, 64).facts.note


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_colours_of_few_bits_are_scaled_with_a_note(bits):
    data = sixteen_bit_png(COLOURS.astype(np.uint16) << (bits - 8))
    assert differs_little(data, COLOURS)
    assert f"use only {bits}" in read_photo(data, 64).facts.note


def test_transparent_colours_of_few_bits_are_scaled():
    opaque = np.full((*GREY.shape, 1), 65_535, np.uint16)
    assert differs_little(sixteen_bit_png(np.dstack([COLOURS.astype(np.uint16) << 4, opaque])), COLOURS)


def test_colours_of_few_bits_in_a_tiff_are_scaled():
    samples = (COLOURS.astype("<u2") << 4).tobytes()
    height, width, _ = COLOURS.shape
    tags = {256: width, 257: height, 259: 1, 262: 2, 277: 3, 278: height, 279: len(samples), 284: 1}
    data = tiff(tags | {258: 16}, samples)
    assert differs_little(data, COLOURS)


@pytest.mark.parametrize("picture", [GREY[..., None], COLOURS], ids=["grey", "colour"])
def test_samples_of_sixteen_bits_need_no_note(picture):
    data = sixteen_bit_png(picture.astype(np.uint16) * 257)
    assert differs_little(data, picture.squeeze())
    assert read_photo(data, 64).facts.note is None


@pytest.mark.parametrize("scale", [1 / 255, 1.0, 257.0])
def test_floats_of_a_usual_range_are_scaled(scale):
    assert differs_little(encoded(Image.fromarray((GREY * scale).astype(np.float32)), "TIFF"), GREY)


@pytest.mark.parametrize("worst", [-0.5, np.nan, np.inf, 3.7, 1e9])
def test_floats_of_an_unknown_range_are_refused(worst):
    samples = (GREY / 255).astype(np.float32)
    samples[0, 0] = worst
    with pytest.raises(UnreadableImage, match="save the photo with 8 bits"):
        load_image(encoded(Image.fromarray(samples), "TIFF"), 64)


def test_whole_numbers_of_more_than_sixteen_bits_are_refused():
    with pytest.raises(UnreadableImage, match="not 16 bits"):
        load_image(encoded(Image.fromarray(GREY.astype(np.int32) << 16), "TIFF"), 64)


def test_inverted_tiff_of_sixteen_bits_is_not_a_negative():
    samples = (65_535 - GREY.astype("<u2") * 257).tobytes()
    height, width = GREY.shape
    tags = {256: width, 257: height, 258: 16, 259: 1, 262: 0, 277: 1, 278: height, 279: len(samples)}
    assert differs_little(tiff(tags, samples), GREY)
