"""Tell the format of a file from its first bytes."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

from PIL import features

from reconcile.imaging.limits import UnreadableImage

_READABLE = (
    (b"\xff\xd8", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG2000"),
    (b"MM\x00*", "TIFF"),
    (b"II*\x00", "TIFF"),
    (b"MM*\x00", "TIFF"),
    (b"II\x00*", "TIFF"),
    (b"MM\x00+", "TIFF"),
    (b"II+\x00", "TIFF"),
)
"""The first bytes of the formats that are read, and Pillow's names for these formats."""
_RAW_FILES = (
    (b"FUJIFILMCCD-RAW", "RAF"),
    (b"IIU\x00", "RW2"),
    (b"IIRO", "ORF"),
    (b"IIRS", "ORF"),
    (b"MMOR", "ORF"),
    (b"FOVb", "X3F"),
    (b"\x00MRM", "MRW"),
)
_JPEG_XL = (b"\xff\x0a", b"\x00\x00\x00\x0cJXL ")
_OTHER_FILES = (
    (b"<!doctype", "the bytes look like HTML or XML"),
    (b"<html", "the bytes look like HTML or XML"),
    (b"<?xml", "the bytes look like HTML or XML"),
    (b"<svg", "a drawing in SVG"),
    (b"[.shellclassinfo]", "a settings file of Windows"),
    (b"{", "the bytes look like JSON"),
    (b"[", "the bytes look like JSON"),
    (b"%pdf", "the bytes look like a PDF"),
    (b"8bps", "a Photoshop document"),
    (b"pk\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a file compressed with gzip"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "thumbnails or a document of Windows"),
    (b"\x00\x05\x16\x07", "the metadata of a file on macOS"),
    (b"\x00\x00\x00\x01bud1", "folder settings of macOS"),
    (b"version https://git-lfs", "a pointer of Git LFS; fetch the file itself"),
)
"""The first bytes of other files in lower case, and what they are."""
_PPM_KINDS = b"123456f"
_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}
_MOST_BRANDS = 256


def image_format(data: bytes) -> str:
    """Return Pillow's name of a file's format.

    Args:
        data: the bytes of the file.

    Raises:
        UnreadableImage: the file is not an image, or has a format that is not read here. The message names the format.
    """
    for start, name in _READABLE:
        if data.startswith(start):
            if name == "TIFF" and data[8:10] == b"CR":
                raise _raw_file("CR2")
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:1] == b"P" and data[1:2] in _PPM_KINDS and (data[2:3].isspace() or data[2:3] == b"#"):
        return "PPM"
    if data[4:8] == b"ftyp":
        return _format_of_brands(data)
    if data.startswith(_JPEG_XL):
        raise UnreadableImage("JPEG XL is not supported; save the photo as JPEG")
    for start, name in _RAW_FILES:
        if data.startswith(start):
            raise _raw_file(name)
    text = data[2:64].replace(b"\0", b"") if data.startswith(_BYTE_ORDER_MARKS) else data[:64]
    beginning = text.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for start, description in _OTHER_FILES:
        if beginning.startswith(start):
            raise UnreadableImage(f"not an image ({description})")
    raise UnreadableImage("not an image (the format is not known)")


def _raw_file(name: str) -> UnreadableImage:
    return UnreadableImage(f"camera raw files ({name}) are not supported; export the photo as JPEG")


def refuse_raw_tiff(*, is_digital_negative: bool, is_preview: bool, is_sensor_data: bool) -> None:
    """Refuse a TIFF that a camera wrote, because Pillow would read the small preview in it.

    Args:
        is_digital_negative: the TIFF has the tag DNGVersion.
        is_preview: its first picture is marked as a reduced one.
        is_sensor_data: its pixels are those of a sensor with a colour filter.

    Raises:
        UnreadableImage: one of them is true.
    """
    if is_digital_negative:
        raise _raw_file("DNG")
    if is_preview or is_sensor_data:
        raise _raw_file("a TIFF with a preview, such as NEF or ARW")


def _format_of_brands(data: bytes) -> str:
    """Return the format of a file that consists of ISO boxes (ISO/IEC 14496-12): AVIF or HEIF."""
    end = min(int.from_bytes(data[:4], "big"), 16 + 4 * _MOST_BRANDS)
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, end, 4))}
    if brands & _AVIF_BRANDS:
        if not _reads_avif():
            raise UnreadableImage("AVIF cannot be read, because Pillow was built without it; save the photo as JPEG")
        return "AVIF"
    if data[8:12] == b"crx ":
        raise _raw_file("CR3")
    if brands & _HEIC_BRANDS:
        if not _reads_heic():
            raise UnreadableImage(
                "HEIC cannot be read here; install reconcile-bins[heic] where photos are counted, or save them as JPEG"
            )
        return "HEIF"
    raise UnreadableImage("not an image (a video, or an unknown file of ISO boxes)")


@cache
def _reads_avif() -> bool:
    return bool(features.check("avif"))


@cache
def _reads_heic() -> bool:
    return find_spec("pillow_heif") is not None
