-- A row: one listed record (of one page of the listing) that has not been read yet, known by its key and etag.
SELECT page.key, page.size, page.etag, page.modified
FROM page
ANTI JOIN (
    -- Keys of a page are neighbours and the table is sorted by key, so most of it need not be looked at.
    SELECT * FROM record_parts WHERE record_key BETWEEN $first AND $last
) AS record_parts
    ON record_parts.record_key = page.key AND record_parts.etag = page.etag AND NOT record_parts.try_again
ORDER BY page.position
