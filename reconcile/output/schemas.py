"""Arrow schemas of the Parquet parts in <out>."""

from __future__ import annotations

import pyarrow as pa

COUNTS_SCHEMA = pa.schema(
    [
        ("image_key", pa.string()),
        ("etag", pa.string()),
        ("predicted_label", pa.string()),  # as the model names it, such as 6+
        ("predicted_count", pa.int32()),  # of an open-ended label, the smallest count
        ("probabilities", pa.list_(pa.float32())),  # over the model's labels, in their order
        ("reason", pa.string()),  # why the image could not be counted; null where it was
        ("try_again", pa.bool_()),  # the reason lay in fetching, not in the image
        ("counted_at", pa.timestamp("us", tz="UTC")),
    ]
)

_DIMENSION = pa.struct([("value", pa.float64()), ("unit", pa.string())])
ITEM_TYPE = pa.struct(
    [
        ("asin", pa.string()),
        ("name", pa.string()),
        ("quantity", pa.int64()),
        ("length", _DIMENSION),
        ("width", _DIMENSION),
        ("height", _DIMENSION),
        ("weight", _DIMENSION),
    ]
)
RECORDS_SCHEMA = pa.schema(
    [
        ("record_key", pa.string()),
        ("etag", pa.string()),
        ("bin_id", pa.string()),
        ("expected_quantity", pa.int64()),
        ("items", pa.list_(ITEM_TYPE)),
        ("note", pa.string()),  # worth knowing, but the record holds
        ("reason", pa.string()),  # why the record is invalid; null where it is not
        ("try_again", pa.bool_()),
        ("read_at", pa.timestamp("us", tz="UTC")),
    ]
)
VERDICTS_SCHEMA = pa.schema(
    [
        ("bin_id", pa.string()),
        ("run_id", pa.string()),  # whose queue it stood in; what follows is from that run
        ("run_started_at", pa.string()),
        ("bucket", pa.string()),
        ("true_count", pa.int64()),
        ("note", pa.string()),
        ("image_key", pa.string()),
        ("image_etag", pa.string()),
        ("expected_quantity", pa.int64()),
        ("p_wrong", pa.float64()),
        ("probabilities", pa.list_(pa.float32())),  # those that p_wrong was computed from, after any correction
        ("labels", pa.list_(pa.string())),
        ("line", pa.int64()),  # of the file it was imported from
        ("imported_at", pa.timestamp("us", tz="UTC")),
    ]
)
