-- Each row is one record of a table with products, with its products as items. items_at is the first row of the record.
-- inputs/records_table.py defines record_of(line, bin_id): the bin if the rows of a bin are summed, else the row.
SELECT
    min(line) AS items_at,
    list(
        {
            'asin': product_id,
            'name': product_name,
            'quantity': expected_quantity,
            'length': NULL::STRUCT("value" DOUBLE, unit VARCHAR),
            'width': NULL::STRUCT("value" DOUBLE, unit VARCHAR),
            'height': NULL::STRUCT("value" DOUBLE, unit VARCHAR),
            'weight': NULL::STRUCT("value" DOUBLE, unit VARCHAR)
        }
        ORDER BY line
    ) FILTER (product_id IS NOT NULL OR product_name IS NOT NULL) AS items
FROM product_rows
WHERE nullif(trim(bin_id), '') IS NOT NULL
GROUP BY record_of(line, trim(bin_id))
