-- Each row is one listed JSON record, with the quantity that was read from it.
-- Few records were read more than once. Only those are sorted to find the last reading.
WITH latest AS (
    SELECT record_parts.*
    FROM record_parts
    ANTI JOIN duplicate_records AS duplicate ON duplicate.key = record_parts.record_key AND duplicate.etag = record_parts.etag
    UNION ALL
    SELECT record_parts.*
    FROM record_parts
    SEMI JOIN duplicate_records AS duplicate ON duplicate.key = record_parts.record_key AND duplicate.etag = record_parts.etag
    QUALIFY row_number() OVER (PARTITION BY record_key, record_parts.etag ORDER BY try_again, read_at DESC) = 1
)
SELECT
    listed.bin_id,
    listed.key AS record_key,
    latest.expected_quantity,
    latest.items_at,
    latest.note,
    listed.modified AS changed_at,
    CASE WHEN latest.record_key IS NULL THEN 'the record was not read' ELSE latest.reason END AS reason
FROM listed_records AS listed
LEFT JOIN latest ON latest.record_key = listed.key AND latest.etag = listed.etag
