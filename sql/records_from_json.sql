-- A row: one JSON record of the bucket as it was read.
SELECT
    listed.bin_id,
    listed.key AS record_key,
    latest.expected_quantity,
    latest.items,
    latest.note,
    CASE WHEN latest.record_key IS NULL THEN 'the record was not read' ELSE latest.reason END AS reason
FROM listed_records AS listed
LEFT JOIN (
    SELECT *
    FROM record_parts
    QUALIFY row_number() OVER (PARTITION BY record_key, etag ORDER BY try_again, read_at DESC) = 1
) AS latest ON latest.record_key = listed.key AND latest.etag = listed.etag
