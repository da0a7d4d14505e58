-- A row: the last verdict on one photo of a bin. A photo is known by what it shows (its etag), also when it is moved to another key.
SELECT *
FROM verdicts
QUALIFY row_number() OVER (PARTITION BY bin_id, image_etag ORDER BY imported_at DESC, line DESC, run_id DESC) = 1
