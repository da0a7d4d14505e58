-- A row: one bin that has a record. Several records of one bin that agree are one; several that disagree are invalid.
-- A record without a bin id stays a row of its own. Few bins have several records: only these are put together.
--   changed_at  when it changed last, as far as that is known
--   items_at  where its items are; of several records, those of the first that is sound
SELECT
    bin_id,
    record_key,
    CASE WHEN reason IS NULL THEN expected_quantity END AS expected_quantity,
    note,
    changed_at,
    reason,
    items_at
FROM all_records
ANTI JOIN recorded_twice USING (bin_id)
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
    -- A table given by --keys may say a key twice, with an etag that is no more. Whichever could be read was there.
    SELECT DISTINCT ON (record_key) *
    FROM all_records
    SEMI JOIN recorded_twice USING (bin_id)
    ORDER BY record_key, reason IS NOT NULL, reason
)
GROUP BY bin_id
