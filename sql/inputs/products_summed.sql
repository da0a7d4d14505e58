-- Each row is one bin of a table with a row per product, with the sum of its quantities. Rows without a bin id follow.
-- A bin is invalid if one of its rows is, because the sum would lack that row. That includes rows whose cells are shifted,
-- so that any of their cells may be the bin id (shifted_cells).
WITH shifted AS (
    SELECT trim(cell) AS bin_id, arg_min('row ' || line || ' may belong to this bin: ' || reason, line) AS reason
    FROM shifted_cells
    GROUP BY ALL
),
summed AS (
    SELECT
        min(line) AS line,
        count(*) AS row_count,
        nullif(trim(bin_id), '') AS id,
        sum(expected_quantity) AS total,
        -- A time that cannot be read is kept, because it becomes a note. Otherwise the last change is kept.
        coalesce(
            min(changed_at) FILTER (change_note(changed_at) IS NOT NULL), arg_max(changed_at, change_time(changed_at))
        ) AS changed_at,
        arg_min('row ' || line || ': ' || reason, line) FILTER (reason IS NOT NULL) AS reason
    FROM product_rows
    WHERE nullif(trim(bin_id), '') IS NOT NULL
    GROUP BY id
)
SELECT
    line,
    row_count,
    id AS bin_id,
    CASE WHEN coalesce(summed.reason, shifted.reason) IS NULL AND total <= 9007199254740992 THEN total::BIGINT END AS expected_quantity,
    changed_at,
    CASE
        WHEN coalesce(summed.reason, shifted.reason) IS NOT NULL THEN coalesce(summed.reason, shifted.reason)
        WHEN total > 9007199254740992 THEN 'the sum of the quantities is not a count: ' || total
    END AS reason
FROM summed
LEFT JOIN shifted ON shifted.bin_id = summed.id
UNION ALL
SELECT line, 1, NULL, NULL, NULL, coalesce(reason, 'the bin id is missing')
FROM product_rows
WHERE nullif(trim(bin_id), '') IS NULL
