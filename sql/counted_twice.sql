-- A row: one image that has several counts, because the first could not be fetched or two runs counted at once.
-- Numbers are counted first: of so many texts, hardly one is there twice.
SELECT key, etag
FROM counted
SEMI JOIN (
    SELECT hash(key, etag) AS number FROM counted GROUP BY number HAVING count(*) > 1
) AS several ON several.number = hash(key, etag)
GROUP BY ALL
HAVING count(*) > 1
