"""Tests of the files with keys."""

import io
import json
from datetime import UTC, datetime

import pytest

from reconcile.engines.sagemaker.job_store import TransformFolder
from reconcile.engines.sagemaker.shards import images_per_shard, write_shards
from reconcile.inputs.key_columns import UNKNOWN_SIZE
from reconcile.output.store import Output
from reconcile.serving.requests import RequestLine, parse_request_lines
from reconcile.storage.base import StoredObject
from reconcile.storage.open import open_bucket


@pytest.mark.parametrize(
    ("images", "instances", "size"), [(10, 1, 32), (1401, 1, 176), (1401, 2, 88), (5_000_000, 20, 8192)]
)
def test_each_instance_has_several_shards_and_none_is_tiny(images, instances, size):
    assert images_per_shard(images, instances) == size


def test_shards_keep_keys_etags_and_sizes(tmp_path):
    folder = TransformFolder(Output(open_bucket(str(tmp_path), None)), "job")
    now = datetime.now(UTC)
    images = [StoredObject(f"bin-images/{name}.jpg", 7, f"e{name}", now) for name in ('a"b', "ü", "line\nbreak")]
    assert write_shards(images, 2, folder) == 2
    lines = (folder.read_shard(0) + folder.read_shard(1)).splitlines()
    assert [tuple(json.loads(line).values()) for line in lines] == [(i.key, i.etag, i.size) for i in images]


def test_server_accepts_a_key_of_unknown_size(tmp_path):
    folder = TransformFolder(Output(open_bucket(str(tmp_path), None)), "job")
    write_shards([StoredObject("a.jpg", UNKNOWN_SIZE, "e", datetime.now(UTC))], 1, folder)
    assert list(parse_request_lines(io.BytesIO(folder.read_shard(0)))) == [
        RequestLine(key="a.jpg", etag="e", size=None)
    ]
