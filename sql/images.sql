-- A row: one image of the bucket, with what the model counted in it.
-- Of several photos of one bin, the newest is the one that is held against the record (is_current).
WITH latest AS (
    SELECT *
    FROM counts
    QUALIFY row_number() OVER (PARTITION BY image_key, etag ORDER BY try_again, counted_at DESC) = 1
)
SELECT
    listed.bin_id,
    listed.key AS image_key,
    listed.etag,
    listed.modified AS photographed_at,
    latest.predicted_label,
    latest.predicted_count,
    latest.probabilities,
    CASE WHEN latest.image_key IS NULL THEN 'the image was not counted' ELSE latest.reason END AS reason,
    row_number() OVER (PARTITION BY listed.bin_id ORDER BY listed.modified DESC, listed.key) = 1 AS is_current
FROM listed_images AS listed
LEFT JOIN latest ON latest.image_key = listed.key AND latest.etag = listed.etag
