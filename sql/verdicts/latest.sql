-- Each row is the last verdict on one photo of a bin. Older parts have no sequence and come first.
-- The ETag identifies a photo, so a photo that moved to another key keeps its verdict.
SELECT *
FROM verdicts
QUALIFY row_number() OVER (
    PARTITION BY bin_id, image_etag ORDER BY sequence DESC NULLS LAST, imported_at DESC, line DESC, run_id DESC
) = 1
