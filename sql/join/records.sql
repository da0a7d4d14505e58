-- Each row is one bin that has a record, or one record without a bin id.
-- Several records of one bin become one row. The row is invalid if the records disagree.
-- Few bins have several records. Only those are grouped.
--   changed_at  time of the last change, if it is known
--   items_at    row of the items; if there are several records, that of the first valid record
SELECT
    bin_id,
    record_key,
    CASE WHEN reason IS NULL THEN expected_quantity END AS expected_quantity,
    note,
    changed_at,
    reason,
    items_at
FROM all_records
ANTI JOIN bins_with_several_records USING (bin_id)
UNION ALL
SELECT
    bin_id,
    string_agg(record_key, ', ' ORDER BY record_key) AS record_key,
    CASE WHEN count(DISTINCT expected_quantity) = 1 AND count(reason) = 0 THEN any_value(expected_quantity) END AS expected_quantity,
    CASE
        WHEN count(*) > 1 THEN count(*) || ' records for this bin' || coalesce('; ' || min(note), '')
        ELSE min(note)
    END AS note,
    max(changed_at) AS changed_at,
    CASE
        WHEN count(DISTINCT expected_quantity) > 1
            THEN count(*) || ' records for this bin disagree: ' || string_agg(DISTINCT expected_quantity::VARCHAR, ', ' ORDER BY expected_quantity::VARCHAR)
        ELSE min(reason)
    END AS reason,
    first(items_at ORDER BY reason IS NOT NULL, record_key) AS items_at
FROM (
    -- A table given by --keys may list a key twice, once with an outdated ETag. The object has the ETag of the entry
    -- that could be read.
    SELECT DISTINCT ON (record_key) *
    FROM all_records
    SEMI JOIN bins_with_several_records USING (bin_id)
    ORDER BY record_key, reason IS NOT NULL, reason
)
GROUP BY bin_id
