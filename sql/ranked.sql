-- A row: a row of reconciled.sql with what judging.py made of it, its final status, and its place in the recount queue.
-- In the queue is every bin with a count and a record that nobody has recounted since: most likely wrong first, or most
-- items off, or most value off. The rows come in that order, and after them the others by status.
--   status      of a bin with both: by what was found, if it was recounted, else by the most probable count given photo and
--               record. predicted_count and difference remain what the photo alone says.
--   value_off   expected items off times what an item of this bin costs on average; null where no cost is known
WITH both_sides AS (
    -- The two files have the same rows in the same order.
    SELECT joined.*, judged.* EXCLUDE (file_row_number)
    FROM joined
    JOIN judged USING (file_row_number)
),
costs AS (
    SELECT
        image_key,
        sum(coalesce(item.quantity, 1) * unit_cost) / sum(coalesce(item.quantity, 1)) AS unit_cost
    FROM (SELECT image_key, unnest(items) AS item FROM both_sides WHERE p_wrong IS NOT NULL) AS of_bin
    JOIN unit_costs ON unit_costs.asin = of_bin.item.asin
    WHERE coalesce(item.quantity, 1) > 0
    GROUP BY image_key
),
weighed AS (
    SELECT
        both_sides.* REPLACE (
            CASE
                WHEN status NOT IN ('match', 'short', 'over') THEN status
                WHEN recounted_count IS NOT NULL AND recounted_count < expected_quantity THEN 'short'
                WHEN recounted_count IS NOT NULL AND recounted_count > expected_quantity THEN 'over'
                WHEN recounted_count IS NOT NULL THEN 'match'
                WHEN likely_count IS NULL THEN status
                WHEN likely_count < predicted_count - difference THEN 'short'
                WHEN likely_count > predicted_count - difference THEN 'over'
                ELSE 'match'
            END AS status
        ),
        status IN ('match', 'short', 'over') AND recounted_count IS NULL AS is_queued,
        units_off * unit_cost AS value_off
    FROM both_sides
    LEFT JOIN costs USING (image_key)
),
in_order AS (
    SELECT *
    FROM weighed
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
        file_row_number, probabilities, items, note, reason, photographed_at, is_queued, value_off, units_off, likely_count,
        count_if_wrong, recounted_count
    ),
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
    photographed_at
FROM in_order
