-- Each row is one row of a table with products. Each row is the record of a separate bin.
SELECT line, 1 AS row_count, nullif(trim(bin_id), '') AS bin_id, expected_quantity, changed_at, reason
FROM product_rows
