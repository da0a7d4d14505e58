-- Each row is a row of scored.sql with its rank in the recount queue.
-- The queue has every bin with a count and a record that nobody has recounted since. $rank_by decides which bins come
-- first: those that are most likely wrong, have most items off, or have most value off. The other rows follow, ordered
-- by status.
--   suspect  the bin is in the queue, and its record is wrong with a probability of at least $suspect_from
WITH in_order AS (
    SELECT *
    FROM scored
    ORDER BY
        is_queued DESC,
        CASE WHEN is_queued THEN CASE $rank_by WHEN 'value' THEN value_off WHEN 'units' THEN units_off ELSE p_wrong END END
            DESC NULLS LAST,
        CASE WHEN is_queued THEN p_wrong END DESC NULLS LAST,
        CASE WHEN is_queued THEN abs(difference) END DESC,
        CASE WHEN NOT is_queued THEN status END,
        bin_id,
        image_key,
        record_key
)
SELECT
    * EXCLUDE (
        probabilities, items, note, reason, photographed_at, record_changed_at, is_queued, value_off, units_off,
        likely_count, count_if_wrong, recounted_count, is_blank, content_hash
    ),
    coalesce(is_queued AND p_wrong >= $suspect_from, FALSE) AS suspect,
    likely_count,
    CASE WHEN $open_ended AND likely_count = $last_count THEN likely_count || '+' ELSE likely_count::VARCHAR END AS likely_label,
    CASE WHEN $open_ended AND count_if_wrong = $last_count THEN count_if_wrong || '+' ELSE count_if_wrong::VARCHAR END AS label_if_wrong,
    count_if_wrong > predicted_count - difference AS is_over_if_wrong,
    units_off,
    value_off,
    CASE WHEN is_queued THEN row_number() OVER () END AS recount_rank,
    recounted_count,
    probabilities,
    reason,
    note,
    items,
    photographed_at,
    record_changed_at,
    is_blank,
    content_hash
FROM in_order
