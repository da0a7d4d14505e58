"""Pages of listed objects, as lists and as Arrow tables."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from reconcile.storage.base import StoredObject

Page = list[StoredObject] | pa.Table
"""Some objects of a bucket. A table has the columns key, size, etag and modified."""


def as_table(page: list[StoredObject]) -> pa.Table:
    """Return a page as a table with the columns position, key, size, etag and modified. Positions start at 0."""
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
