"""Listing, reading, writing and deleting objects, with the same results on S3 and in folders."""

import pytest

from reconcile.storage.base import FetchError

ODD_NAMES = [
    "a b.jpg",
    "a+b.jpg",
    "a#b.jpg",
    "a%20b.jpg",
    "ü.jpg",
    "<b>.jpg",
    'q"t.jpg',
    "=c.jpg",
    "x&y.jpg",
    "sub/1.jpg",
]


def test_odd_names_are_listed_in_order_and_read(bucket_and_folder):
    bucket, folder = bucket_and_folder
    (folder / "photos" / "sub").mkdir(parents=True)
    for name in ODD_NAMES:
        (folder / "photos" / name).write_bytes(name.encode())
    (folder / "photos-too").mkdir()
    (folder / "photos-too" / "no.jpg").write_bytes(b"another prefix")
    objects = [stored for page in bucket.list_pages("photos/") for stored in page]
    assert [stored.key for stored in objects] == sorted((f"photos/{name}" for name in ODD_NAMES), key=str.encode)
    for stored in objects:
        assert bucket.get(stored.key, stored.etag).decode() == stored.key.removeprefix("photos/")
        assert stored.size == len(stored.key.removeprefix("photos/").encode())


def test_listing_returns_all_keys_over_many_pages(bucket_and_folder):
    bucket, folder = bucket_and_folder
    for number in range(2345):
        (folder / f"{number:05d}").write_bytes(b"")
    pages = list(bucket.list_pages())
    assert [stored.key for page in pages for stored in page] == [f"{number:05d}" for number in range(2345)]
    assert max(len(page) for page in pages) <= 1000


def test_put_then_get_returns_the_same_bytes(bucket_and_folder):
    bucket, folder = bucket_and_folder
    bucket.put("runs/1/x.bin", b"new")
    assert bucket.get("runs/1/x.bin") == b"new"
    assert (folder / "runs/1/x.bin").read_bytes() == b"new"
    bucket.delete("runs/1/x.bin")
    with pytest.raises(FetchError, match="does not exist"):
        bucket.get("runs/1/x.bin")


def test_delete_twice_succeeds_and_leaves_no_empty_folder(bucket_and_folder):
    bucket, folder = bucket_and_folder
    bucket.put("runs/1/x.bin", b"new")
    for _ in range(2):
        bucket.delete("runs/1/x.bin")
    assert not (folder / "runs").exists()


def test_get_raises_when_the_object_changed_after_listing(bucket_and_folder):
    bucket, folder = bucket_and_folder
    (folder / "a.jpg").write_bytes(b"first")
    [[stored]] = bucket.list_pages()
    (folder / "a.jpg").write_bytes(b"second, longer")
    with pytest.raises(FetchError, match="changed after it was listed"):
        bucket.get(stored.key, stored.etag)


def test_listing_of_an_empty_prefix_has_no_pages(bucket_and_folder):
    assert list(bucket_and_folder[0].list_pages("nothing/here/")) == []
