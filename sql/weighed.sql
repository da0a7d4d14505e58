-- A row: a row of reconciled.sql with what judging.py made of it, the items on record, and its final status.
--   status      of a bin with both: by what was found, if it was recounted, else by the most probable count given photo and
--               record. predicted_count and difference remain what the photo alone says.
--   is_queued   it has a count and a record, and nobody has recounted it since
--   value_off   expected items off times what an item of this bin costs on average; null where no cost is known
SELECT
    bin.* EXCLUDE (file_row_number, items_at) REPLACE (
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
    items,
    status IN ('match', 'short', 'over') AND recounted_count IS NULL AS is_queued,
    units_off * unit_cost AS value_off
FROM items
RIGHT JOIN (
    -- The two files have the same rows in the same order.
    FROM joined_part JOIN judged_part USING (file_row_number)
) AS bin ON items.items_at = bin.items_at
LEFT JOIN bin_costs ON bin_costs.items_at = bin.items_at
