"""Listing and reading of unusual objects: folder markers, keys that are not file names, links, pipes."""

import os
from pathlib import Path

import pytest

from reconcile.storage.base import FetchError, S3Access
from reconcile.storage.open import open_bucket


def test_keys_impossible_in_a_file_system_are_listed_and_read(moto, moto_client):
    moto_client.create_bucket(Bucket="odd")
    keys = ["a.jpg", "b//2.jpg", "c/./3.jpg", "tab\there.jpg", "z/5.jpg"]
    for key in keys:
        moto_client.put_object(Bucket="odd", Key=f"photos/{key}", Body=key.encode())
    for marker in ("photos/", "photos/z/", "photos/empty/"):
        moto_client.put_object(Bucket="odd", Key=marker, Body=b"")
    moto_client.put_object(Bucket="odd", Key="photos/nothing.jpg", Body=b"")
    bucket = open_bucket("odd", moto)
    objects = [stored for page in bucket.list_pages("photos/") for stored in page]
    assert sorted(stored.key for stored in objects) == sorted(f"photos/{key}" for key in [*keys, "nothing.jpg"])
    for stored in objects:
        assert bucket.get(stored.key, stored.etag).decode() == (
            stored.key.removeprefix("photos/") if stored.size else ""
        )


def test_folder_markers_are_not_listed_among_plain_keys(moto, moto_client):
    moto_client.create_bucket(Bucket="plain")
    for key in ("p/", "p/1.jpg", "p/nothing-in-it/", "p/sub/", "p/sub/2.jpg", "p/zero.jpg", "p/zzz-nor-in-it/"):
        moto_client.put_object(Bucket="plain", Key=key, Body=b"photo" if key.endswith(("1.jpg", "2.jpg")) else b"")
    pages = open_bucket("plain", moto).list_pages("p/")
    assert [stored.key for page in pages for stored in page] == ["p/1.jpg", "p/sub/2.jpg", "p/zero.jpg"]


def test_unreadable_files_are_listed_and_get_raises_reason(tmp_path):
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "loop").symlink_to(folder)
    (folder / "dangling.jpg").symlink_to("nowhere")
    (folder / "circle.jpg").symlink_to("circle.jpg")
    os.mkfifo(folder / "pipe.jpg")
    for name in ("a.jpg", "a-b.jpg", "tab\there.jpg", "x#1", "sub/c.jpg", "sub-d.jpg"):
        (folder / name).write_bytes(b"photo")
    Path(os.fsdecode(bytes(folder) + b"/latin-\xff.jpg")).write_bytes(b"photo")
    bucket = open_bucket(str(folder), S3Access())
    keys = [stored.key for page in bucket.list_pages() for stored in page]
    readable = ["a-b.jpg", "a.jpg", "sub-d.jpg", "sub/c.jpg", "tab\there.jpg", "x#1"]
    assert keys == sorted([*readable, "circle.jpg", "dangling.jpg", "latin-\\xff.jpg", "pipe.jpg"])
    assert {bucket.get(key) for key in readable} == {b"photo"}
    for key, reason in (("dangling.jpg", "the link is broken"), ("latin-\\xff.jpg", "name is not UTF-8")):
        with pytest.raises(FetchError, match=reason):
            bucket.get(key)
