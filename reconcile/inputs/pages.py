"""Pages of listed objects, as lists and as Arrow tables."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from reconcile.storage.base import StoredObject

Page = list[StoredObject] | pa.Table
"""Some objects of a bucket; a table has key, size, etag and modified."""


def as_table(page: list[StoredObject]) -> pa.Table:
    """position, key, size, etag and modified of each object."""
    keys, sizes, etags, modified = zip(*page, strict=True) if page else ((), (), (), ())
    return pa.table(
        {
            "position": np.arange(len(page)),
            "key": pa.array(keys, pa.string()),
            "size": pa.array(sizes, pa.int64()),
            "etag": pa.array(etags, pa.string()),
            "modified": pa.array(modified, pa.timestamp("us", tz="UTC")),
        }
    )
