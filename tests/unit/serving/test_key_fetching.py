"""Tests of requests that name images by key."""

import threading

import pytest

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
    counter = KeyCounter(delayed, S3Access(), f"{tmp_path}/", image_bytes=images * len(photo) + 1)
    threading.Timer(0.2, start.set).start()
    lines = [RequestLine(key=stored.key, etag=stored.etag)] * 10
    rows = [row for ready in counter.rows(lines) for row in ready]
    assert [row["predicted_count"] for row in rows] == [5] * 10
    assert delayed.most_bytes <= max(images, 1) * len(photo)
