-- Each row is the last verdict on one photo of a bin. Older parts have no sequence and come first.
-- The ETag identifies a photo, so a photo that moved to another key keeps its verdict.
-- Rows without a count are left out: the person could not count, or withdrew a row. Withdrawn rows are left out, too.
SELECT *
FROM verdicts
WHERE true_count IS NOT NULL
    AND (entry_id IS NULL OR entry_id NOT IN (SELECT withdraws FROM verdicts WHERE withdraws IS NOT NULL))
QUALIFY row_number() OVER (
    PARTITION BY bin_id, image_etag ORDER BY sequence DESC NULLS LAST, imported_at DESC, line DESC, run_id DESC
) = 1
