"""The images to count, as the files that SageMaker hands out to its instances."""

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
_SHARDS_OF_AN_INSTANCE = 8
"""A shard is one instance's from beginning to end: so many that the last one does not count for long alone."""
_FEWEST, _MOST = 32, 8192
"""Images of a shard. SageMaker sends as many at once as fit into the megabyte that the server takes, which is about one
shard: the most take a slow core (25 ms each) 3.4 minutes, of the hour that a request may take. And one shard is one
Parquet part."""


def images_per_shard(images: int, instances: int) -> int:
    """How many images each shard should have, but the last."""
    return min(max(ceil(images / (_SHARDS_OF_AN_INSTANCE * instances)), _FEWEST), _MOST)


def write_shards(images: Iterable[StoredObject], size: int, folder: TransformFolder) -> int:
    """Put all images into shards of `size`, of which one at a time is held in memory; returns how many there are.

    Raises:
        ReconcileError: a shard cannot be written.
        KeyboardInterrupt: somebody asked to stop.
    """
    waiting, number = iter(images), 0
    while lines := "".join(map(_line, islice(waiting, size))):
        folder.write_shard(number, lines.encode())
        number += 1
        cancellation.raise_if_cancelled()
    return number


def _line(image: StoredObject) -> str:
    known: dict[str, str | int] = {"key": image.key, "etag": image.etag}
    if image.size >= 0:  # else a file of keys does not tell it (`key_files.UNKNOWN_SIZE`)
        known["size"] = image.size
    return json.dumps(known) + "\n"
