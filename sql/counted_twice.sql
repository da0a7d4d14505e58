-- A row: one image that has several counts, because the first could not be fetched or two runs counted at once.
SELECT key, etag FROM counted GROUP BY ALL HAVING count(*) > 1
