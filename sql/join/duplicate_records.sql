-- Each row is one JSON record that was read several times.
-- The query groups by a hash first, because hardly any of the many texts occurs twice and numbers group faster.
SELECT key, etag
FROM read_records
SEMI JOIN (
    SELECT hash(key, etag) AS number FROM read_records GROUP BY number HAVING count(*) > 1
) AS candidate ON candidate.number = hash(key, etag)
GROUP BY ALL
HAVING count(*) > 1
