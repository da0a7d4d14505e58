-- Each row is one image that has several counts: fetching it failed at first, or two runs counted it.
-- The query groups by a hash first, because hardly any of the many texts occurs twice and numbers group faster.
SELECT key, etag
FROM counted
SEMI JOIN (
    SELECT hash(key, etag) AS number FROM counted GROUP BY number HAVING count(*) > 1
) AS candidate ON candidate.number = hash(key, etag)
GROUP BY ALL
HAVING count(*) > 1
