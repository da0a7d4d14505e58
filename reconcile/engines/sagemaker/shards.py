"""Split the keys to count into input files (shards). SageMaker gives each file to one instance."""

from __future__ import annotations

import json
from itertools import islice
from math import ceil
from typing import TYPE_CHECKING

from reconcile.concurrency import cancellation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconcile.engines.sagemaker.job_store import TransformFolder
    from reconcile.storage.base import StoredObject


CONTENT_TYPE = "application/jsonlines"
_SHARDS_PER_INSTANCE = 8
"""With this many shards, the last shard does not keep one instance busy alone for long."""
_MIN_IMAGES, _MAX_IMAGES = 32, 8192
"""The limits of a shard. The largest is about one request of a megabyte, and one Parquet part. A slow core counts it in
minutes, and a request may take an hour."""


def images_per_shard(images: int, instances: int) -> int:
    """Return the number of images of each shard except the last."""
    return min(max(ceil(images / (_SHARDS_PER_INSTANCE * instances)), _MIN_IMAGES), _MAX_IMAGES)


def write_shards(images: Iterable[StoredObject], size: int, folder: TransformFolder) -> int:
    """Write all images as shards of `size` images, and return the number of shards. Memory holds one shard at a time.

    Raises:
        ReconcileError: a shard cannot be written.
        KeyboardInterrupt: somebody asked this process to stop.
    """
    remaining, number = iter(images), 0
    while lines := "".join(map(_line, islice(remaining, size))):
        folder.write_shard(number, lines.encode())
        number += 1
        cancellation.raise_if_cancelled()
    return number


def _line(image: StoredObject) -> str:
    fields: dict[str, str | int] = {"key": image.key, "etag": image.etag}
    if image.size >= 0:  # a --keys file may not have the size (`key_columns.UNKNOWN_SIZE`)
        fields["size"] = image.size
    return json.dumps(fields) + "\n"
