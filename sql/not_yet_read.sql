-- A row: one listed record (of a stretch of the listing) that has not been read yet, known by its key and etag.
SELECT page.key, page.size, page.etag, page.modified
FROM page
ANTI JOIN (
    -- Keys of a stretch are neighbours, and so are most of a part's: much of the table need not be looked at.
    SELECT * FROM read_records WHERE key BETWEEN $first AND $last
) AS known
    ON known.key = page.key AND known.etag = page.etag AND NOT known.try_again
ORDER BY page.position
