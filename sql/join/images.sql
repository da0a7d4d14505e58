-- Each row is one image of the bucket, with what the model counted in it.
--   is_current  the image is the newest of its bin; only this one is compared with the record
-- Few images have several counts, and few bins have several images. Only those are sorted, because sorting all rows would
-- take most of the run.
WITH latest AS (
    SELECT counts.*
    FROM counts
    ANTI JOIN duplicate_counts AS duplicate ON duplicate.key = counts.image_key AND duplicate.etag = counts.etag
    UNION ALL
    SELECT counts.*
    FROM counts
    SEMI JOIN duplicate_counts AS duplicate ON duplicate.key = counts.image_key AND duplicate.etag = counts.etag
    QUALIFY row_number() OVER (PARTITION BY image_key, counts.etag ORDER BY try_again, counted_at DESC) = 1
),
listed AS (
    SELECT *, TRUE AS is_current FROM listed_images ANTI JOIN bins_with_several_images USING (bin_id)
    UNION ALL
    SELECT *, row_number() OVER (PARTITION BY bin_id ORDER BY modified DESC, key) = 1 AS is_current
    FROM (
        -- A table given by --keys may list a key twice, with different times and ETags, or without. The object has the
        -- ETag of the entry that could be fetched.
        SELECT DISTINCT ON (key) entry.*
        FROM (SELECT * FROM listed_images SEMI JOIN bins_with_several_images USING (bin_id)) AS entry
        LEFT JOIN counts
            ON counts.image_key = entry.key AND counts.etag = entry.etag AND NOT counts.try_again
        ORDER BY key, counted_at IS NULL, modified DESC, counted_at DESC, entry.etag
    )
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
    latest.note,
    latest.is_blank,
    latest.content_hash,
    listed.is_current
FROM listed
LEFT JOIN latest ON latest.image_key = listed.key AND latest.etag = listed.etag
