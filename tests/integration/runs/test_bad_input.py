"""Thirty kinds of bad input in one bucket. The run completes, and each bad file is a row with a reason."""

import io
import json
import struct

import pandas as pd
import pytest
from PIL import Image

from tests.conftest import abid_record, grey_photo, reconcile
from tests.unit.test_images import jpeg_that_claims, png_that_claims

PHOTO = grey_photo(3, (400, 300))
GOOD_RECORD = abid_record(3, B0TEST=3)


def flipped_header() -> bytes:
    data = bytearray(PHOTO)
    data[2:24] = b"\x00" * 22
    return bytes(data)


def png(data_size: int) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(buffer, "PNG")
    return buffer.getvalue()[:data_size]


def tiff_with_no_pixels() -> bytes:
    return b"II*\x00" + struct.pack("<I", 8) + struct.pack("<H", 0) + struct.pack("<I", 0)


# file name: (bytes, pattern of its reason)
BAD_PHOTOS = {
    "empty.jpg": (b"", "empty"),
    "half.jpg": (PHOTO[: len(PHOTO) // 2], "damaged"),
    "head-only.jpg": (PHOTO[:30], "damaged|not an image"),
    "no-header.jpg": (flipped_header(), "damaged|not an image"),
    "magic-only.jpg": (b"\xff\xd8", "damaged|not an image"),
    "html.jpg": (b"<!DOCTYPE html><title>Bad gateway</title>", "HTML"),
    "xml.jpg": (b"<?xml version='1.0'?><Error><Code>SlowDown</Code></Error>", "XML"),
    "json.jpg": (b'{"EXPECTED_QUANTITY": 3}', "JSON"),
    "pdf.jpg": (b"%PDF-1.4", "PDF"),
    "text.jpg": (b"photo to follow\n", "not an image"),
    "zeros.jpg": (b"\x00" * 5000, "not an image"),
    "random.jpg": (bytes(range(256)) * 20, "not an image"),
    "half.png": (png(300), "damaged"),
    "huge-header.png": (png_that_claims(30_000, 30_000), "900 megapixels"),
    "huge-header.jpg": (jpeg_that_claims(60_000, 3_000), "180 megapixels"),
    "too-many-bytes.jpg": (PHOTO + b"\x00" * (33 * 1024 * 1024), "33 MB"),
    "no-pixels.tif": (tiff_with_no_pixels(), "damaged|not an image"),
    "<img src=x onerror=alert(1)>.jpg": (b"", "empty"),
}
BAD_RECORDS = {
    "r-empty.json": (b"", "empty"),
    "r-text.json": (b"three", "not JSON"),
    "r-half.json": (GOOD_RECORD[:40], "not JSON"),
    "r-binary.json": (b"\x80\x81\x82", "not UTF-8"),
    "r-list.json": (b"[]", "not a JSON object"),
    "r-no-quantity.json": (b'{"BIN_FCSKU_DATA": {}}', "missing"),
    "r-null.json": (abid_record(None), "not a number"),
    "r-word.json": (abid_record("a few"), "not a number"),
    "r-negative.json": (abid_record(-2), "negative"),
    "r-fraction.json": (abid_record(1.5), "fractional"),
    "r-infinite.json": (abid_record(float("inf")), "not a count"),
    "r-nested.json": (b'{"a":' * 50_000, "not JSON"),
    "r-huge.json": (b" " * (5 * 1024 * 1024), "5 MB, over the limit of 4 MB"),
    "r-photo.json": (PHOTO, "not UTF-8"),
}


@pytest.fixture
def bad_bucket(s3):
    folder = s3.root / "trouble"
    (folder / "bin-images").mkdir(parents=True)
    (folder / "metadata").mkdir()
    for name, (data, _) in BAD_PHOTOS.items():
        (folder / "bin-images" / name).write_bytes(data)
        (folder / "metadata" / (name.rpartition(".")[0] + ".json")).write_bytes(GOOD_RECORD)
    for name, (data, _) in BAD_RECORDS.items():
        (folder / "metadata" / name).write_bytes(data)
        (folder / "bin-images" / name.replace(".json", ".jpg")).write_bytes(PHOTO)
    (folder / "bin-images" / "good.jpg").write_bytes(PHOTO)
    (folder / "metadata" / "good.json").write_bytes(GOOD_RECORD)
    return folder


def test_every_bad_photo_and_record_gets_a_reason(s3, bad_bucket, grey_model, tmp_path):
    assert len(BAD_PHOTOS) + len(BAD_RECORDS) >= 30
    arguments = ["--bucket", "trouble", "--endpoint-url", s3.endpoint_url, "--model", grey_model, "--out", "out"]
    done = reconcile("run", *arguments, "--max-unreadable", "100%", "--max-invalid", "100%", "--run-id", "a")
    assert done.returncode == 0, done.stderr
    rows = pd.read_parquet(tmp_path / "out/runs/a/reconciled.parquet")
    assert rows["image_key"].dropna().nunique() == len(list((bad_bucket / "bin-images").iterdir()))
    by_image = rows.dropna(subset="image_key").set_index("image_key")
    # half.jpg and half.png, huge-header.jpg and .png are two photos of one bin; the record belongs to one of them
    for name, (_, reason) in BAD_PHOTOS.items():
        row = by_image.loc[f"bin-images/{name}"]
        assert row["status"] == "unreadable_image", name
        assert pd.Series([row["reason"]]).str.contains(reason).all(), (name, row["reason"])
    by_record = rows.dropna(subset="record_key").set_index("record_key")
    for name, (_, reason) in BAD_RECORDS.items():
        row = by_record.loc[f"metadata/{name}"]
        assert row["status"] == "invalid_record", name
        assert reason in row["reason"], (name, row["reason"])
    assert by_image.loc["bin-images/good.jpg", "status"] == "match"
    records = {f"metadata/{path.name}" for path in (bad_bucket / "metadata").iterdir()}
    assert sorted(rows["record_key"].dropna()) == sorted(records)

    # A second run does not fetch broken files again.
    reconcile("run", *arguments, "--max-unreadable", "100%", "--run-id", "b")
    assert json.loads((tmp_path / "out/runs/b/summary.json").read_text())["counted"] == 0
