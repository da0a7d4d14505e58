-- A row: one JSON record of the bucket as it was read. Few were read twice: only of these the last one has to be found.
WITH latest AS (
    SELECT record_parts.*
    FROM record_parts
    ANTI JOIN read_twice AS several ON several.key = record_parts.record_key AND several.etag = record_parts.etag
    UNION ALL
    SELECT record_parts.*
    FROM record_parts
    SEMI JOIN read_twice AS several ON several.key = record_parts.record_key AND several.etag = record_parts.etag
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
