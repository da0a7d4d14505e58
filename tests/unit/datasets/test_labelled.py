"""Labelled photos in each layout, and splits that keep neighbours and equal item lists together."""

import zlib
from collections import Counter
from itertools import pairwise

import pytest

from reconcile.datasets.labelled import LabelledImage, read_labelled, split
from reconcile.errors import ReconcileError
from tests.conftest import abid_record


def read(folder):
    """Return the photos, and the lines about those left out."""
    left_out = []
    return read_labelled(folder, left_out.append), left_out


def touch(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"photo")


def test_table_beside_the_photos_is_read(tmp_path):
    touch(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    (tmp_path / "labels.csv").write_text("image,count,fold,squashed_224\nb.jpg,12,3,1\na.jpg,4,0,0\nc.jpg,1,9,\n")
    photos, left_out = read(tmp_path)
    assert [(photo.path.name, photo.count, photo.fold, photo.squashed) for photo in photos] == [
        ("a.jpg", 4, 0, False),
        ("b.jpg", 12, 3, True),
        ("c.jpg", 1, 9, None),
    ]
    assert left_out == []


def test_invalid_line_of_the_table_is_reported_and_left_out(tmp_path):
    touch(tmp_path / "bin-images", "a.jpg", "b.jpg", "c.jpg", "d.jpg")
    lines = ["a.jpg,-1,0", "b.jpg,2,first", "c.jpg,3,1", "c.jpg,4,1", "d.jpg,,0", "e.jpg,1,0"]
    (tmp_path / "labels.csv").write_text("\n".join(["image,count,fold", *lines]))
    photos, left_out = read(tmp_path)
    assert [photo.path.name for photo in photos] == ["c.jpg"]
    table = tmp_path / "labels.csv"
    assert left_out == [
        f"left out a.jpg of {table}: count is negative: -1",
        f"left out b.jpg of {table}: fold is not a number: first",
        f"left out c.jpg of {table}: the photo is listed twice",
        f"left out d.jpg of {table}: count is missing",
        f"left out e.jpg of {table}: the photo does not exist",
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_table_of_a_spreadsheet_is_read(tmp_path, encoding, separator):
    touch(tmp_path, "ä.jpg", "b.jpg")
    lines = ["Labels of May", "", "Image,Count", "ä.jpg,1", "b.jpg ,4.0"]
    (tmp_path / "labels.csv").write_bytes("\r\n".join(lines).replace(",", separator).encode(encoding))
    photos, left_out = read(tmp_path)
    assert [(photo.path.name, photo.count) for photo in photos] == [("b.jpg", 4), ("ä.jpg", 1)]
    assert left_out == []


def test_odd_rows_of_the_table_are_reported_and_left_out(tmp_path):
    touch(tmp_path, *"abcdefg")
    lines = ["a,1,200", "b,1_000", "c,1.000", "d,NaN", "e", ",3", "f,٤", "g,2"]
    (tmp_path / "labels.csv").write_text("\n".join(["image,count", *lines]), encoding="utf-8")
    photos, left_out = read(tmp_path)
    assert [(photo.path.name, photo.count) for photo in photos] == [("f", 4), ("g", 2)]
    table = tmp_path / "labels.csv"
    assert left_out == [
        f"left out row 2 of {table}: 3 cells, the header has 2",
        f"left out row 6 of {table}: 1 cell, the header has 2",
        f"left out row 7 of {table}: the image is missing",
        f"left out b of {table}: count is not a number: 1_000",
        f"left out c of {table}: count is either 1 or 1000: 1.000",
        f"left out d of {table}: count is not a count: NaN",
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("image,count,Count\na.jpg,1,2\n", "has several columns of one name: column 2"),
        ("image,number\na.jpg,1\n", r"has no column count \(its columns: image, number\)"),
        ("<html>Sign in</html>", "is an HTML page"),
        ("", "is empty"),
    ],
)
def test_table_that_cannot_be_used_is_named(tmp_path, data, message):
    (tmp_path / "labels.csv").write_text(data)
    with pytest.raises(ReconcileError, match=rf"labels\.csv.* {message}"):
        read(tmp_path)


def test_layout_of_a_bucket_is_read(tmp_path):
    touch(tmp_path / "bin-images", "1.jpg", "2.jpg", "3.jpg", "4.jpg")
    (tmp_path / "metadata").mkdir()
    for bin_id, quantities in {"1": {"B1": 2, "B2": 1}, "2": {"B2": 1, "B1": 2}, "4": {"B3": 1}}.items():
        record = abid_record(sum(quantities.values()), **quantities)
        (tmp_path / "metadata" / f"{bin_id}.json").write_bytes(record)
    (tmp_path / "metadata" / "4.json").write_bytes(b"{}")
    photos, left_out = read(tmp_path)
    assert [(photo.path.name, photo.count) for photo in photos] == [("1.jpg", 3), ("2.jpg", 3)]
    assert photos[0].items == photos[1].items is not None, "the order of the items does not matter"
    assert [line.partition(": ")[2] for line in left_out] == [
        "metadata/ has no record of it",
        "its record is invalid: EXPECTED_QUANTITY is missing",
    ]


def test_one_folder_per_count_is_read(tmp_path):
    touch(tmp_path / "1", "a.jpg", "notes.txt")
    touch(tmp_path / "6+", "b.PNG")
    touch(tmp_path / "other", "c.jpg")
    photos, _ = read(tmp_path)
    assert [(photo.path.name, photo.count) for photo in photos] == [("a.jpg", 1), ("b.PNG", 6)]


@pytest.mark.parametrize(("photos", "block"), [(5000, 100), (300, 10)])
def test_neighbouring_ids_share_a_fold(tmp_path, photos, block):
    touch(tmp_path / "3", *[f"{number:05}.jpg" for number in range(photos)])
    folds = [photo.fold for photo in read(tmp_path)[0]]
    blocks = [set(folds[start : start + block]) for start in range(0, photos, block)]
    assert all(len(folds_of_block) == 1 for folds_of_block in blocks)
    assert set(folds) == set(range(10))


def test_names_without_numbers_share_folds_in_their_order(tmp_path):
    touch(tmp_path / "3", *[f"bin-{number:05}.jpg" for number in range(300)])
    folds = [photo.fold for photo in read(tmp_path)[0]]
    assert all(len(set(folds[start : start + 10])) == 1 for start in range(0, 300, 10))
    assert len(set(folds)) > 5


def test_photos_keep_their_folds_when_photos_are_added(tmp_path):
    touch(tmp_path / "3", *[f"{number:05}.jpg" for number in range(3000)])
    before = {photo.path.name: photo.fold for photo in read(tmp_path)[0]}
    touch(tmp_path / "3", *[f"{number:05}.jpg" for number in range(3000, 5000)])
    after = {photo.path.name: photo.fold for photo in read(tmp_path)[0]}
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize("first", [0, 1600, 49_995, 535_196])
@pytest.mark.parametrize("photos", [20, 21, 39, 50, 80, 119, 120, 199, 200, 450, 2000, 3000])
def test_every_fold_has_about_a_tenth_of_neighbouring_photos(tmp_path, photos, first):
    names = [f"{number}.jpg" for number in range(first, first + photos)]
    (tmp_path / "labels.csv").write_text("\n".join(["image,count", *[f"{name},3" for name in names]]))
    touch(tmp_path, *names)
    folds = Counter(photo.fold for photo in read(tmp_path)[0])
    assert set(folds) == set(range(10))
    assert all(0.05 <= number / photos <= 0.2 for number in folds.values()), folds


@pytest.mark.parametrize("photos", [20, 60, 120, 300])
def test_photos_of_one_block_are_neighbours(tmp_path, photos):
    touch(tmp_path / "3", *[f"{number}.jpg" for number in range(1600, 1600 + photos)])
    folds = [photo.fold for photo in read(tmp_path)[0]]
    changes = sum(before != after for before, after in pairwise(folds))
    assert changes < 40, "photos next to each other mostly share a fold"


def test_photos_without_a_record_do_not_decide_the_folds(tmp_path):
    touch(tmp_path / "bin-images", *[f"{number:04}.jpg" for number in range(1000)])
    (tmp_path / "metadata").mkdir()
    for number in range(500, 540):
        (tmp_path / "metadata" / f"{number:04}.json").write_bytes(abid_record(1, B1=1))
    photos, left_out = read(tmp_path)
    assert (len(photos), len(left_out)) == (40, 960)
    assert Counter(photo.fold for photo in photos) == dict.fromkeys(range(10), 4)


def test_names_that_repeat_in_every_folder_fill_all_folds(tmp_path):
    for count in "12345":
        touch(tmp_path / count, "1.jpg", "2.jpg", "3.jpg", "4.jpg")
    assert Counter(photo.fold for photo in read(tmp_path)[0]) == dict.fromkeys(range(10), 2)


def test_folds_of_a_large_set_match_the_model_card(tmp_path):
    """The card of the shipped model reports results on fold 9 of ids like these."""
    touch(tmp_path / "3", *[f"{number:05}.jpg" for number in range(0, 20_000, 20)])
    folds = {photo.path.name: photo.fold for photo in read(tmp_path)[0]}
    first = [folds[f"{number:05}.jpg"] for number in range(0, 20_000, 100)]
    assert first == [zlib.crc32(str(block).encode()) % 10 for block in range(200)]


def test_held_out_photo_with_trained_items_is_left_out(tmp_path):
    def photo(name, fold, items):
        return LabelledImage(tmp_path / name, 1, fold, items)

    photos = [photo("a", 0, "pens"), photo("b", 9, "pens"), photo("c", 9, "books"), photo("d", 9, None)]
    training, held_out, number_left_out = split(photos, 9)
    assert [image.path.name for image in training] == ["a"]
    assert [image.path.name for image in held_out] == ["c", "d"]
    assert number_left_out == 1


def test_folder_without_labels_is_refused_with_the_layouts(tmp_path):
    touch(tmp_path / "photos", "a.jpg")
    with pytest.raises(ReconcileError, match=r"it needs a labels\.csv .* or one folder per count"):
        read(tmp_path)
    (tmp_path / "2").mkdir()
    with pytest.raises(ReconcileError, match="holds no photo with a label"):
        read(tmp_path)
