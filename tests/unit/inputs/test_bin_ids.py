"""Bin ids from keys."""

import pytest

from reconcile.inputs.bin_ids import bin_id


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
