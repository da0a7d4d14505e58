-- A row: one JSON record that was read several times.
-- Numbers are counted first: of so many texts, hardly one is there twice.
SELECT key, etag
FROM read_records
SEMI JOIN (
    SELECT hash(key, etag) AS number FROM read_records GROUP BY number HAVING count(*) > 1
) AS several ON several.number = hash(key, etag)
GROUP BY ALL
HAVING count(*) > 1
