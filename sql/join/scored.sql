-- Each row is a row of joined.sql with its scores (discrepancy/scoring.py), its items and its final status.
--   status     for a compared bin, from the recount if there is one, else from the photo's count (sql/join/joined.sql)
--   is_queued  the bin has a count and a record, and nobody has recounted it since
--   value_off  expected items off times the average cost of an item of this bin, null if no cost is known
SELECT
    bin.* EXCLUDE (file_row_number, items_at) REPLACE (
        CASE
            WHEN status NOT IN ('match', 'short', 'over') THEN status
            WHEN recounted_count IS NOT NULL AND recounted_count < expected_quantity THEN 'short'
            WHEN recounted_count IS NOT NULL AND recounted_count > expected_quantity THEN 'over'
            WHEN recounted_count IS NOT NULL THEN 'match'
            ELSE status
        END AS status
    ),
    items,
    status IN ('match', 'short', 'over') AND recounted_count IS NULL AS is_queued,
    units_off * unit_cost AS value_off
FROM items
RIGHT JOIN (
    -- The two files have the same rows in the same order.
    FROM joined_part JOIN scores_part USING (file_row_number)
) AS bin ON items.items_at = bin.items_at
LEFT JOIN bin_costs ON bin_costs.items_at = bin.items_at
