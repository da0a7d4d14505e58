import pyarrow as pa
import pytest

from reconcile.inputs.system_files import is_system_file, without_system_files
from reconcile.storage.base import UNKNOWN_TIME, StoredObject

SYSTEM = [
    "bin-images/Thumbs.db",
    "bin-images/desktop.ini",
    "Desktop.ini",
    "a/._00001.jpg",
    "._00001.json",
    "a/.DS_Store",
    "__MACOSX/a/00001.jpg",
    "a/@eaDir/00001.jpg/SYNOPHOTO_THUMB_M.jpg",
    "$RECYCLE.BIN/00001.jpg",
]
PHOTOS = ["bin-images/00001.jpg", "a/thumbs.db.jpg", "a/x._1.jpg", ".hidden.jpg", "desktop.ini/00001.jpg", "a\nb.jpg"]


@pytest.mark.parametrize("key", SYSTEM)
def test_file_of_an_operating_system_is_no_photo(key):
    assert is_system_file(key)


@pytest.mark.parametrize("key", PHOTOS)
def test_other_file_is_kept(key):
    assert not is_system_file(key)


def test_pages_of_both_kinds_keep_the_same_keys():
    keys = [key for pair in zip(SYSTEM, [*PHOTOS, *PHOTOS], strict=False) for key in pair]
    page = [StoredObject(key, 1, "e", UNKNOWN_TIME) for key in keys]
    listed, table = without_system_files([page, pa.table({"key": keys})])
    assert [stored.key for stored in listed] == table["key"].to_pylist()
    assert set(PHOTOS) == {stored.key for stored in listed}
