"""Image bytes to model input, for every kind of photo that a bucket may hold."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from reconcile.images import UnreadableImage, load_image, thumbnail

RED, GREEN, BLUE, WHITE = (220, 30, 30), (30, 180, 30), (30, 30, 220), (255, 255, 255)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def quarters(width: int = 120, height: int = 80) -> Image.Image:
    """Return an image with a colour per quarter, so that its orientation can be checked."""
    image = Image.new("RGB", (width, height))
    for colour, x, y in ((RED, 0, 0), (GREEN, 1, 0), (BLUE, 0, 1), (WHITE, 1, 1)):
        image.paste(colour, (x * width // 2, y * height // 2, (x + 1) * width // 2, (y + 1) * height // 2))
    return image


def corners(pixels: np.ndarray) -> list[tuple[int, int, int]]:
    size = len(pixels)
    points = (
        (size // 4, size // 4),
        (size // 4, 3 * size // 4),
        (3 * size // 4, size // 4),
        (3 * size // 4, 3 * size // 4),
    )
    return [tuple(int(channel) for channel in pixels[y, x]) for y, x in points]


def assert_looks_like(pixels: np.ndarray, expected: list[tuple[int, int, int]], tolerance: int = 12) -> None:
    assert pixels.dtype == np.uint8
    for actual, wanted in zip(corners(pixels), expected, strict=True):
        assert np.abs(np.subtract(actual, wanted)).max() <= tolerance, (corners(pixels), expected)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
@pytest.mark.parametrize("shape", [(120, 80), (80, 120), (640, 480), (20, 10)])
def test_image_of_any_format_and_shape_becomes_a_square(kind, shape):
    pixels = load_image(encoded(quarters(*shape), kind), 64)
    assert pixels.shape == (64, 64, 3)
    assert_looks_like(pixels, [RED, GREEN, BLUE, WHITE], tolerance=40)


def test_pixels_are_written_to_the_given_buffer():
    batch = np.zeros((2, 48, 48, 3), dtype=np.uint8)
    load_image(encoded(quarters(), "JPEG", quality=95), 48, out=batch[1])
    assert_looks_like(batch[1], [RED, GREEN, BLUE, WHITE])
    assert not batch[0].any()


def test_jpeg_and_png_of_one_picture_give_similar_pixels():
    noise = np.random.default_rng(1).integers(60, 200, (24, 32, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((640, 480), Image.Resampling.BICUBIC)
    difference = load_image(encoded(image, "JPEG", quality=97), 96).astype(int) - load_image(encoded(image, "PNG"), 96)
    assert np.abs(difference).mean() < 3


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, [RED, GREEN, BLUE, WHITE]),
        (2, [GREEN, RED, WHITE, BLUE]),
        (3, [WHITE, BLUE, GREEN, RED]),
        (6, [BLUE, RED, WHITE, GREEN]),
        (8, [GREEN, WHITE, RED, BLUE]),
    ],
)
def test_exif_rotation_is_undone(orientation, expected):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert_looks_like(load_image(encoded(quarters(), "JPEG", quality=95, exif=exif), 64), expected)


def test_grey_jpeg_becomes_rgb():
    pixels = load_image(encoded(Image.new("L", (50, 40), 90), "JPEG"), 32)
    assert_looks_like(pixels, [(90, 90, 90)] * 4)


def test_cmyk_jpeg_becomes_rgb():
    pixels = load_image(encoded(quarters().convert("CMYK"), "JPEG", quality=95), 64)
    assert_looks_like(pixels, [RED, GREEN, BLUE, WHITE], tolerance=30)


def test_sixteen_bit_grey_image_keeps_its_brightness():
    levels = np.full((40, 50), 128 * 257, dtype=np.uint16)
    pixels = load_image(encoded(Image.fromarray(levels), "PNG"), 32)
    assert_looks_like(pixels, [(128, 128, 128)] * 4, tolerance=1)


def test_transparent_pixels_become_white():
    clear = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    assert_looks_like(load_image(encoded(clear, "PNG"), 32), [WHITE] * 4)


def test_palette_and_bilevel_images_become_rgb():
    assert_looks_like(load_image(encoded(quarters().convert("P"), "PNG"), 64), [RED, GREEN, BLUE, WHITE], tolerance=60)
    assert_looks_like(load_image(encoded(Image.new("1", (40, 40), 1), "PNG"), 32), [WHITE] * 4)


def test_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (40, 40), colour) for colour in (RED, BLUE)]
    animation = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert_looks_like(load_image(animation, 32), [RED] * 4)


def png_that_claims(width: int, height: int) -> bytes:
    """Return a PNG whose header claims more pixels than its data hold."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def jpeg_that_claims(width: int, height: int) -> bytes:
    data = bytearray(encoded(quarters(), "JPEG"))
    start = data.index(b"\xff\xc0")
    data[start + 5 : start + 9] = struct.pack(">HH", height, width)
    return bytes(data)


PHOTO = encoded(quarters(), "JPEG")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (PHOTO[: len(PHOTO) // 2], "damaged"),
        (PHOTO[:20], "damaged|not an image"),
        (encoded(quarters(), "PNG")[:200], "damaged"),
        (b"\xff\xd8\xff\xe0 nothing of a JPEG follows", "damaged|not an image"),
        (b"<html>503</html>", "not an image .*HTML"),
        (b'{"a": 1}', "not an image .*JSON"),
        (b"%PDF-1.7 ...", "not an image .*PDF"),
        (b"\x00" * 2000, "not an image"),
        (b"\xff" * (33 * 1024 * 1024), "33 MB, over the limit of 32 MB"),
        (png_that_claims(20_000, 6_000), "120 megapixels .*over the limit of 100"),
        (jpeg_that_claims(65_000, 2_000), "130 megapixels .*over the limit of 100"),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else None,
)
def test_unreadable_image_has_a_reason(data, reason):
    with pytest.raises(UnreadableImage, match=reason):
        load_image(data, 64)


def test_thumbnail_keeps_its_proportions_and_is_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    small = Image.open(io.BytesIO(thumbnail(encoded(quarters(800, 400), "JPEG", exif=exif), 256)))
    assert small.format == "WEBP"
    assert small.size == (128, 256)
