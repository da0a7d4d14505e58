-- A row: one image of the bucket, with what the model counted in it.
-- Of several photos of one bin, the newest is the one that is held against the record (is_current). Few images were counted
-- twice and few bins have several photos: only these are put in order, which for all of them would take most of the night.
WITH latest AS (
    SELECT counts.*
    FROM counts
    ANTI JOIN counted_twice AS several ON several.key = counts.image_key AND several.etag = counts.etag
    UNION ALL
    SELECT counts.*
    FROM counts
    SEMI JOIN counted_twice AS several ON several.key = counts.image_key AND several.etag = counts.etag
    QUALIFY row_number() OVER (PARTITION BY image_key, counts.etag ORDER BY try_again, counted_at DESC) = 1
),
listed AS (
    SELECT *, TRUE AS is_current FROM listed_images ANTI JOIN photographed_twice USING (bin_id)
    UNION ALL
    SELECT *, row_number() OVER (PARTITION BY bin_id ORDER BY modified DESC, key) = 1 AS is_current
    FROM (
        -- A table given by --keys may say a key twice, and when each was taken or not. Whichever could be fetched was there.
        SELECT DISTINCT ON (key) several.*
        FROM (SELECT * FROM listed_images SEMI JOIN photographed_twice USING (bin_id)) AS several
        LEFT JOIN counts
            ON counts.image_key = several.key AND counts.etag = several.etag AND NOT counts.try_again
        ORDER BY key, counted_at IS NULL, modified DESC, counted_at DESC, several.etag
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
    listed.is_current
FROM listed
LEFT JOIN latest ON latest.image_key = listed.key AND latest.etag = listed.etag
