-- A row: a row of reconciled.sql with p_wrong, now with its place in the recount queue.
-- In the queue are the bins where count and record differ, the most likely wrong record first.
SELECT
    * EXCLUDE (probabilities, items, note, reason, photographed_at),
    CASE WHEN status IN ('short', 'over')
        THEN row_number() OVER (PARTITION BY status IN ('short', 'over') ORDER BY p_wrong DESC, abs(difference) DESC, bin_id, image_key)
    END AS recount_rank,
    probabilities,
    reason,
    note,
    items,
    photographed_at
FROM judged
ORDER BY recount_rank NULLS LAST, status, bin_id, image_key
