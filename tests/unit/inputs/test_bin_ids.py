"""Bin ids from keys."""

import pytest

from reconcile.inputs.bin_ids import bin_id, bins_in_several_folders


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("bin-images/00001.jpg", "00001"),
        ("1.jpg", "1"),
        ("metadata/pod 7/A-1.2.json", "A-1.2"),
        ("noending", "noending"),
        (".hidden", ".hidden"),
    ],
)
def test_bin_id_is_the_file_name_without_its_ending(key, expected):
    assert bin_id(key) == expected


def test_photos_of_one_name_in_several_folders_are_found():
    keys = ["a/01.jpg", "a/02.jpg", "b/01.jpg", "b/01.png", "b/03.jpg", "b/03.png"]
    assert bins_in_several_folders(keys) == [("a/01.jpg", "b/01.jpg")]
