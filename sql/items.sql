-- A row: one bin that has a JSON record, and the items on it. Of several records of a bin, those of the first.
-- They come from the parts as they are read, since items are heavy: nothing but what stands in the report is made of them.
WITH several AS (
    SELECT bin_id FROM recorded_twice
    UNION
    SELECT bin_of(key) FROM read_twice
),
latest AS (
    SELECT part.*
    FROM record_parts AS part
    SEMI JOIN several USING (bin_id)
    SEMI JOIN listed_records AS listed ON listed.key = part.record_key AND listed.etag = part.etag
    QUALIFY row_number() OVER (PARTITION BY record_key, part.etag ORDER BY try_again, read_at DESC) = 1
)
SELECT part.bin_id, items
FROM record_parts AS part
SEMI JOIN listed_records AS listed ON listed.key = part.record_key AND listed.etag = part.etag
ANTI JOIN several ON several.bin_id = part.bin_id
UNION ALL
SELECT bin_id, first(items ORDER BY try_again, record_key) AS items
FROM latest
GROUP BY bin_id
