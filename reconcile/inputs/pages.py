"""Pages of listed objects, as lists and as Arrow tables."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from reconcile.storage.base import UNKNOWN_TIME, StoredObject

Page = list[StoredObject] | pa.Table
"""Some objects of a bucket. A table has the columns key, size, etag and modified."""


def as_table(page: list[StoredObject]) -> pa.Table:
    """Return a page as a table with the columns position, key, size, etag and modified. Positions start at 0."""
    keys, sizes, etags, times = zip(*page, strict=True) if page else ((), (), (), ())
    modified = [None if time == UNKNOWN_TIME else time for time in times]
    return pa.table(
        {
            "position": np.arange(len(page)),
            "key": pa.array(keys, pa.string()),
            "size": pa.array(sizes, pa.int64()),
            "etag": pa.array(etags, pa.string()),
            "modified": pa.array(modified, pa.timestamp("us", tz="UTC")),
        }
    )
