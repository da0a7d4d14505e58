"""Tests of the formats that are named, and of those that are read since Pillow can."""

import io
import struct
import sys

import pytest
from PIL import features

from reconcile.images import UnreadableImage, read_photo
from tests.unit.imaging.pictures import box, encoded, textured, tiff


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff\x0a" + bytes(40), "JPEG XL is not supported"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n" + bytes(40), "JPEG XL is not supported"),
        (box(b"ftyp", b"crx \0\0\0\1crx isom") + bytes(40), r"camera raw files \(CR3\)"),
        (b"II*\0\x10\0\0\0CR\x02\0" + bytes(40), r"camera raw files \(CR2\)"),
        (b"FUJIFILMCCD-RAW 0201" + bytes(40), r"camera raw files \(RAF\)"),
        (b"IIU\0\x18\0\0\0" + bytes(40), r"camera raw files \(RW2\)"),
        (b"IIRO\x08\0\0\0" + bytes(40), r"camera raw files \(ORF\)"),
        (tiff({256: 8, 257: 8, 50706: 1}, bytes(64)), r"camera raw files \(DNG\)"),
        (tiff({254: 1, 256: 8, 257: 8, 258: 8, 259: 1, 262: 1}, bytes(64)), "camera raw files .*NEF"),
        (tiff({256: 8, 257: 8, 258: 8, 259: 1, 262: 32803}, bytes(64)), "camera raw files .*NEF"),
        (box(b"ftyp", b"isom\0\0\2\0isommp41") + bytes(40), "not an image .*video"),
        (b"[.ShellClassInfo]\r\nIconFile=x", "not an image .*Windows"),
        ("\ufeff[.ShellClassInfo]".encode("utf-16-le"), "not an image .*Windows"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(40), "not an image .*thumbnails"),
        (b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X", "not an image .*macOS"),
        (b"\x00\x00\x00\x01Bud1", "not an image .*macOS"),
        (b"PK\x03\x04" + bytes(40), "not an image .*ZIP"),
        (b"8BPS\0\1" + bytes(40), "not an image .*Photoshop"),
        (b"version https://git-lfs.github.com/spec/v1", "not an image .*Git LFS"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image .*SVG"),
        (b"photo to follow", "not an image .*not known"),
    ],
)
def test_format_that_is_not_read_is_named(data, reason):
    with pytest.raises(UnreadableImage, match=reason) as error:
        read_photo(data, 64)
    assert "first bytes" not in str(error.value), "a reason must not repeat the content of a file"


def test_lossless_and_twelve_bit_jpegs_are_named():
    jpeg = bytearray(encoded(textured(), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 1] = 0xC3
    with pytest.raises(UnreadableImage, match="lossless JPEG"):
        read_photo(bytes(jpeg), 64)
    jpeg[frame + 1], jpeg[frame + 4] = 0xC1, 12
    with pytest.raises(UnreadableImage, match="12 bits a sample"):
        read_photo(bytes(jpeg), 64)


@pytest.mark.skipif(not features.check("avif"), reason="this build of Pillow cannot write AVIF")
def test_avif_is_read():
    photo = read_photo(encoded(textured(), "AVIF"), 64)
    assert abs(photo.pixels.astype(int) - read_photo(encoded(textured(), "PNG"), 64).pixels).mean() < 5


def test_heic_is_read_if_pillow_heif_is_installed():
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(textured()).save(buffer, quality=90)
    photo = read_photo(buffer.getvalue(), 64)
    assert abs(photo.pixels.astype(int) - read_photo(encoded(textured(), "PNG"), 64).pixels).mean() < 5


def test_heic_names_what_to_install(monkeypatch):
    from reconcile.imaging import formats

    monkeypatch.setattr(formats, "_reads_heic", lambda: False)
    with pytest.raises(UnreadableImage, match=r"HEIC .*reconcile-bins\[heic\]"):
        read_photo(box(b"ftyp", b"heic\0\0\0\0mif1heic") + bytes(40), 64)


def test_truncated_header_of_any_format_has_a_reason():
    for kind in ("PNG", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000", "PPM"):
        whole = encoded(textured(), kind)
        for length in (8, 20, 40):
            with pytest.raises(UnreadableImage, match=r"damaged|not an image"):
                read_photo(whole[:length], 64)


def test_tiff_whose_tags_point_outside_has_a_reason():
    data = b"II*\0" + struct.pack("<I", 2**31) + bytes(40)
    with pytest.raises(UnreadableImage, match="damaged"):
        read_photo(data, 64)
    assert sys.byteorder in ("little", "big")


def test_jpeg_2000_with_a_negative_width_is_damaged():
    data = bytearray(encoded(textured(), "JPEG2000"))
    size = data.index(b"\xff\x4f\xff\x51") + 8
    data[size + 8 : size + 12] = (2**31).to_bytes(4, "big")  # the left edge
    with pytest.raises(UnreadableImage, match="damaged"):
        read_photo(bytes(data), 64)
