-- Each row is one row of the table given by --records.
-- source_rows has line, bin_id, expected_quantity, changed_at and reason. inputs/records_table.py has checked them.
-- changed_at is text, or null in all rows if the run has no --stale-after.
-- records_table.py also defines table_row(line).
SELECT
    nullif(trim(bin_id), '') AS bin_id,
    table_row(line) AS record_key,
    expected_quantity,
    CAST(NULL AS BIGINT) AS items_at,
    change_note(changed_at) AS note,
    change_time(changed_at) AS changed_at,
    reason
FROM source_rows
