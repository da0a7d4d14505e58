"""Photos that can be decoded but are poor evidence: a run counts them and says so, or refuses them with a reason."""

import io
import json
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.conftest import abid_record, grey_photo, reconcile, write_bucket
from tests.unit.imaging.pictures import cut_with_end_marker, encoded, textured, with_gap, with_many_scans

SOUND = encoded(textured(), "JPEG", quality=90)


def twelve_bits() -> bytes:
    return encoded(Image.fromarray(np.full((48, 64), 80 << 4, np.uint16) + np.arange(64, dtype=np.uint16)), "PNG")


def black() -> bytes:
    return encoded(Image.new("RGB", (64, 48)), "JPEG")


@pytest.fixture
def warehouse(tmp_path):
    return write_bucket(tmp_path / "w", {f"{number:02}": (number % 6, number % 6) for number in range(1, 13)})


def add(warehouse, photos: dict[str, bytes]) -> None:
    """Write photos, and a record of one item for each of them."""
    for name, data in photos.items():
        path = warehouse / "bin-images" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        (warehouse / "metadata" / f"{path.stem}.json").write_bytes(abid_record(1, B0TEST=1))


def run(warehouse, grey_model, *arguments):
    """Run, and return the process, the rows by bin id and the summary."""
    done = reconcile("run", "--bucket", warehouse, "--model", grey_model, "--out", "out", "--run-id", "r", *arguments)
    folder = warehouse.parent / "out" / "runs" / "r"
    rows = pd.read_parquet(folder / "reconciled.parquet").set_index("bin_id")
    return done, rows, json.loads((folder / "summary.json").read_text())


def test_damaged_photos_are_noted_or_refused(warehouse, grey_model):
    add(
        warehouse,
        {
            "gap.jpg": with_gap(SOUND, 0.3, 100),
            "cut.jpg": cut_with_end_marker(SOUND, 0.5),
            "scans.jpg": with_many_scans(200),
            "twelve.png": twelve_bits(),
        },
    )
    done, rows, _ = run(warehouse, grey_model)
    assert done.returncode == 3, done.stderr
    assert rows.loc["gap", "note"].startswith("damaged JPEG: parts of the picture may be missing")
    assert "bin-images/gap.jpg: damaged JPEG" in done.stderr
    assert rows.loc["cut", "status"] == "unreadable_image"
    assert rows.loc["cut", "reason"].startswith("damaged image: about 5")
    assert "more than 100 scans" in rows.loc["scans", "reason"]
    assert rows.loc["twelve", "predicted_count"] == 2
    assert "its samples use only 12" in rows.loc["twelve", "note"]
    report = (warehouse.parent / "out/runs/r/report.html").read_text()
    assert "damaged JPEG: parts of the picture may be missing" in report


def test_blank_and_identical_photos_are_counted_and_reported(warehouse, grey_model):
    add(warehouse, {f"black{number}.jpg": black() for number in range(3)})
    frozen = grey_photo(1, (80, 60))
    add(warehouse, {"frozen1.jpg": frozen, "frozen2.jpg": frozen})
    done, rows, summary = run(warehouse, grey_model, "--max-blank", "25%")
    assert done.returncode == 3, done.stderr
    assert (summary["blank_photos"], summary["identical_photos"], summary["blank_or_identical"]) == (3, 5, 5)
    assert "5 of 17 photos are blank or identical to another photo (limit: 25%)" in done.stderr.splitlines()[-1]
    assert "warning: 3 of 17 photos are blank: nearly one colour" in done.stderr
    assert "warning: 5 of 17 photos have the same bytes as another photo" in done.stderr
    report = (warehouse.parent / "out/runs/r/report.html").read_text()
    assert "3 of 17 photos are blank" in report
    assert rows.loc["black1", "is_blank"]
    assert not rows.loc["frozen1", "is_blank"]
    assert rows.loc["frozen1", "content_hash"] == rows.loc["frozen2", "content_hash"]
    done = reconcile("run", "--bucket", warehouse, "--model", grey_model, "--out", "out", "--run-id", "s")
    assert done.returncode == 0, "there is no limit unless somebody sets one"
    assert "warning: 3 of 17 photos are blank" in done.stderr, "kept counts remember it"


def test_same_file_name_in_several_folders_is_warned_of(warehouse, grey_model):
    add(warehouse, {"A1/01.jpg": grey_photo(1), "A2/01.jpg": grey_photo(2)})
    done, _, summary = run(warehouse, grey_model)
    assert done.returncode == 0, done.stderr
    assert "1 bin has photos in several folders, such as bin-images/01.jpg and bin-images/A2/01.jpg" in done.stderr
    assert len(summary["warnings"]) == 1
    doctor = reconcile("doctor", "--bucket", warehouse, "--model", grey_model, "--out", "out")
    assert "?     photos     of the first 14 photos, 1 bin in several folders" in doctor.stdout


def test_files_of_operating_systems_are_no_photos(warehouse, grey_model):
    for name in ("Thumbs.db", "desktop.ini", "._01.jpg", ".DS_Store"):
        (warehouse / "bin-images" / name).write_bytes(b"x")
        shutil.copy(warehouse / "bin-images" / name, warehouse / "metadata" / name.replace(".jpg", ".json"))
    done, rows, summary = run(warehouse, grey_model)
    assert done.returncode == 0, done.stderr
    assert summary["images"] == len(rows) == 12
    assert summary["invalid_records"] == 0


def test_counts_of_an_older_version_are_used_as_they_are(warehouse, grey_model):
    run(warehouse, grey_model)
    [part] = (warehouse.parent / "out" / "counts").rglob("*.parquet")
    buffer = io.BytesIO()
    pq.write_table(pq.read_table(part).drop_columns(["note", "is_blank", "content_hash"]), buffer)
    part.write_bytes(buffer.getvalue())
    add(warehouse, {"new.jpg": grey_photo(1, (80, 60))})
    done = reconcile("run", "--bucket", warehouse, "--model", grey_model, "--out", "out", "--run-id", "next")
    assert done.returncode == 0, done.stderr
    summary = json.loads((warehouse.parent / "out/runs/next/summary.json").read_text())
    assert (summary["counted"], summary["already_counted"]) == (1, 12)
    assert summary["identical_photos"] == 0
