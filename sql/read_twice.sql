-- A row: one JSON record that was read several times.
SELECT key, etag FROM read_records GROUP BY ALL HAVING count(*) > 1
