"""Tests of requests that name images by key."""

import threading

import pytest

from reconcile.serving.bucket_access import AllowedBuckets
from reconcile.serving.key_fetching import KeyCounter
from reconcile.serving.requests import RequestLine
from reconcile.storage.base import S3Access
from reconcile.storage.open import open_bucket
from tests.conftest import grey_photo
from tests.unit.serving.helpers import DelayedBatcher


@pytest.mark.parametrize("images", [0, 1, 3])
def test_fetched_images_hold_a_limited_number_of_bytes(batcher, tmp_path, images):
    photo, start = grey_photo(5), threading.Event()
    delayed = DelayedBatcher(batcher, start)
    (tmp_path / "1.jpg").write_bytes(photo)
    [[stored]] = open_bucket(str(tmp_path), S3Access()).list_pages()
    counter = KeyCounter(delayed, S3Access(), AllowedBuckets(f"{tmp_path}/"), image_bytes=images * len(photo) + 1)
    threading.Timer(0.2, start.set).start()
    lines = [RequestLine(key=stored.key, etag=stored.etag)] * 10
    rows = [row for ready in counter.rows(lines) for row in ready]
    assert [row["predicted_count"] for row in rows] == [5] * 10
    assert delayed.most_bytes <= max(images, 1) * len(photo)


def reason_of(batcher, folder, key, etag="", **line):
    """Return why the image of a line is not counted, and whether a client should try again."""
    counter = KeyCounter(batcher, S3Access(), AllowedBuckets(f"{folder}/"))
    [[row]] = list(counter.rows([RequestLine(key=key, etag=etag, **line)]))
    return row["reason"], row["try_again"]


@pytest.mark.parametrize("key", ["../secret.txt", "a/../../secret.txt", "./secret.txt", "{root}/secret.txt"])
def test_key_that_leads_out_of_the_bucket_is_not_read(batcher, tmp_path, key):
    (tmp_path / "photos").mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    [[stored]] = open_bucket(str(tmp_path), S3Access()).list_pages()
    reason = reason_of(batcher, tmp_path / "photos", key.format(root=tmp_path), stored.etag)
    assert reason == ("the key leads out of the bucket", False)


def test_local_file_above_the_limit_is_not_read(batcher, tmp_path):
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(2**40)  # a hole, which takes no room, but no machine can read it
    [[stored]] = open_bucket(str(tmp_path), S3Access()).list_pages()
    # The client claims another size.
    assert reason_of(batcher, tmp_path, "huge.jpg", stored.etag, size=100) == (
        "1048576 MB, over the limit of 32 MB",
        False,
    )


def test_link_out_of_the_bucket_is_not_read(batcher, tmp_path):
    (tmp_path / "photos/a").mkdir(parents=True)
    (tmp_path / "photos/a/1.jpg").write_bytes(grey_photo(5))
    (tmp_path / "secret.jpg").write_bytes(grey_photo(3))
    (tmp_path / "photos/secret.jpg").symlink_to(tmp_path / "secret.jpg")
    (tmp_path / "photos/out").symlink_to(tmp_path)
    (tmp_path / "photos/inside.jpg").symlink_to("a/1.jpg")
    (tmp_path / "photos/circle.jpg").symlink_to("circle.jpg")
    [page] = open_bucket(str(tmp_path / "photos"), S3Access()).list_pages()
    etags = {stored.key: stored.etag for stored in page}
    reason = "a link leads out of the bucket; name the folder of its target with --allow-bucket"
    assert reason_of(batcher, tmp_path / "photos", "secret.jpg", etags["secret.jpg"]) == (reason, False)
    assert reason_of(batcher, tmp_path / "photos", "out/secret.jpg", etags["secret.jpg"]) == (reason, False)
    assert reason_of(batcher, tmp_path / "photos", "circle.jpg")[0] == reason
    assert reason_of(batcher, tmp_path / "photos", "inside.jpg", etags["inside.jpg"]) == (None, False)


@pytest.mark.parametrize("key", ["%2e%2e/secret.jpg", "..%2fsecret.jpg", "file:///etc/passwd", "~/a.jpg", "x" * 5000])
def test_keys_are_taken_literally(batcher, tmp_path, key):
    (tmp_path / "photos").mkdir()
    (tmp_path / "secret.jpg").write_bytes(grey_photo(3))
    reason, try_again = reason_of(batcher, tmp_path / "photos", key)
    assert reason in ("the file does not exist (any more)", "the file cannot be read: File name too long")
    assert try_again


@pytest.mark.parametrize(
    "content", [b"root:x:0:0:root:/root:/bin/bash\n", b"\x89PNG\r\n\x1a\nsecret", grey_photo(3)[:300]]
)
def test_reason_does_not_quote_the_file(batcher, tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    [[stored]] = open_bucket(str(tmp_path), S3Access()).list_pages()
    reason, _ = reason_of(batcher, tmp_path, "file", stored.etag)
    assert reason in ("not an image (the format is not known)", "damaged image")
