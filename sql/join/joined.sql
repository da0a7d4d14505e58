-- Each row is one image, one record, or one image with the record of its bin.
-- Every image and every record of the run is in exactly one row, and each row has exactly one status.
--   status      short and over compare the photo's count with the record; a recount replaces them in scored.sql
--   difference  predicted items minus recorded items, null if the two are not compared. If the model's last label is
--               open-ended (6+), a larger recorded quantity counts as that label: 6+ against 9 on record is 0, and 6+
--               against 4 is "at least 2"
--   is_stale    the record changed more than $stale_after seconds after the photo, and no recount was imported since. Never
--               true if $stale_after is null
WITH matched AS (
    SELECT
        coalesce(i.bin_id, r.bin_id) AS bin_id,
        i.image_key,
        i.etag AS image_etag,
        r.record_key,
        r.expected_quantity,
        CASE WHEN $open_ended AND r.expected_quantity > $last_count THEN $last_count ELSE r.expected_quantity END AS expected_count,
        i.predicted_count,
        i.predicted_label,
        i.probabilities,
        i.photographed_at,
        nullif(concat_ws('; ', i.note, r.note), '') AS note,
        i.is_blank,
        i.content_hash,
        i.reason AS image_reason,
        r.reason AS record_reason,
        i.image_key IS NOT NULL AND NOT i.is_current AS is_older_photo,
        r.record_key IS NOT NULL AS has_record,
        r.changed_at AS record_changed_at,
        r.items_at
    FROM images AS i
    FULL OUTER JOIN records AS r ON i.bin_id = r.bin_id AND i.is_current
),
checked AS (
    SELECT
        matched.*,
        recounted.true_count AS recounted_count,
        coalesce(recounted.imported_at < record_changed_at, TRUE)
        AND coalesce(record_changed_at > photographed_at + to_seconds($stale_after::DOUBLE), FALSE) AS is_stale
    FROM matched
    -- A verdict applies to this photo only. The record must still have the quantity that was recounted, or the true
    -- count.
    LEFT JOIN (SELECT bin_id, image_etag, expected_quantity, true_count, imported_at FROM latest_verdicts) AS recounted
        ON recounted.bin_id = matched.bin_id
        AND recounted.image_etag = matched.image_etag
        AND matched.expected_quantity IN (recounted.expected_quantity, recounted.true_count)
        AND NOT matched.is_older_photo
)
SELECT
    bin_id,
    image_key,
    image_etag,
    record_key,
    CASE
        WHEN image_key IS NULL AND record_reason IS NOT NULL THEN 'invalid_record'
        WHEN image_key IS NULL THEN 'no_image'
        WHEN image_reason IS NOT NULL THEN 'unreadable_image'
        WHEN NOT has_record THEN 'no_record'
        WHEN record_reason IS NOT NULL THEN 'invalid_record'
        WHEN is_stale THEN 'stale'
        WHEN predicted_count < expected_count THEN 'short'
        WHEN predicted_count > expected_count THEN 'over'
        ELSE 'match'
    END AS status,
    expected_quantity,
    predicted_count,
    predicted_label,
    CASE WHEN NOT is_stale THEN predicted_count - expected_count END AS difference,
    is_older_photo,
    probabilities,
    CASE
        WHEN image_reason IS NOT NULL AND record_reason IS NOT NULL
            THEN image_reason || '; invalid record: ' || record_reason
        WHEN image_reason IS NOT NULL THEN image_reason
        WHEN record_reason IS NOT NULL THEN record_reason
        WHEN is_older_photo THEN 'an older photo of this bin; only the newest photo is compared'
        WHEN image_key IS NULL THEN 'no photo of this bin in the bucket'
        WHEN NOT has_record THEN 'no record for this photo'
        WHEN is_stale THEN 'the record changed after the photo'
    END AS reason,
    note,
    is_blank,
    content_hash,
    photographed_at,
    record_changed_at,
    recounted_count,
    items_at
FROM checked
