-- Each row is one bin of a table with a row per product, or one row of that table without a bin id.
-- source_rows is the result of products_summed.sql or products_as_bins.sql.
SELECT
    bin_id,
    table_row(line) || CASE WHEN row_count > 1 THEN ' and ' || (row_count - 1) || ' more' ELSE '' END AS record_key,
    expected_quantity,
    line AS items_at,
    change_note(changed_at) AS note,
    change_time(changed_at) AS changed_at,
    reason
FROM source_rows
