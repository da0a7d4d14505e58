"""Arrow schemas of the Parquet parts in `<out>`."""

from __future__ import annotations

import pyarrow as pa

COUNTS_SCHEMA = pa.schema(
    [
        ("image_key", pa.string()),
        ("etag", pa.string()),
        ("predicted_label", pa.string()),  # a label of the model, such as 6+
        ("predicted_count", pa.int32()),  # for an open-ended label, its smallest count
        ("probabilities", pa.list_(pa.float32())),  # one per label of the model, in the model's order
        ("reason", pa.string()),  # why the image could not be counted; null if it was counted
        ("try_again", pa.bool_()),  # whether fetching failed, and not the image
        ("counted_at", pa.timestamp("us", tz="UTC")),
        ("note", pa.string()),  # something odd about a photo that was counted all the same
        ("is_blank", pa.bool_()),  # whether the photo has nearly one colour; null if an older version counted it
        ("content_hash", pa.int64()),  # equal for photos with the same bytes; null if an older version counted it
    ]
)
"""One row per image that was counted or found unreadable."""

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
"""One item of a record."""
RECORDS_SCHEMA = pa.schema(
    [
        ("record_key", pa.string()),
        ("etag", pa.string()),
        ("bin_id", pa.string()),
        ("expected_quantity", pa.int64()),
        ("items", pa.list_(ITEM_TYPE)),
        ("note", pa.string()),  # an oddity; the record is valid
        ("reason", pa.string()),  # why the record is invalid; null if it is valid
        ("try_again", pa.bool_()),  # whether fetching failed, and not the record
        ("read_at", pa.timestamp("us", tz="UTC")),
    ]
)
"""One row per JSON record that was read or found invalid."""
VERDICTS_SCHEMA = pa.schema(
    [
        ("bin_id", pa.string()),
        ("run_id", pa.string()),  # the run whose queue had the bin; the other columns describe that run
        ("run_started_at", pa.string()),
        ("bucket", pa.string()),
        ("true_count", pa.int64()),  # null in a row that withdraws another, and if a person could not count
        ("note", pa.string()),
        ("image_key", pa.string()),
        ("image_etag", pa.string()),
        ("expected_quantity", pa.int64()),
        ("p_wrong", pa.float64()),
        ("probabilities", pa.list_(pa.float32())),  # behind p_wrong, after all corrections
        ("labels", pa.list_(pa.string())),
        ("line", pa.int64()),  # line number in the imported file
        ("imported_at", pa.timestamp("us", tz="UTC")),
        ("sequence", pa.int64()),  # counts the imports, because the clock may step back; null in older parts
        ("counted_by", pa.string()),
        ("counted_at", pa.timestamp("us", tz="UTC")),
        ("reason", pa.string()),  # a reason code, such as damaged
        ("entry_id", pa.string()),  # names the line of an inbox file, or the tap, that this row keeps
        ("first_count", pa.int64()),  # what the first person found, if this is a second count
        ("first_counted_by", pa.string()),
        ("withdraws", pa.string()),  # the entry_id of the row that this row withdraws
    ]
)
"""One row per recount of a bin, and per tap of `reconcile recount`."""
