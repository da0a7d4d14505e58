-- A row: one listed image (of a stretch of the listing) that this model has not counted yet.
-- An image is known by its key and etag; one that could not be fetched last time is tried again.
SELECT page.key, page.size, page.etag, page.modified
FROM page
ANTI JOIN (
    -- Keys of a stretch are neighbours, and so are most of a part's: much of the table need not be looked at.
    SELECT * FROM counted WHERE key BETWEEN $first AND $last
) AS known
    ON known.key = page.key AND known.etag = page.etag AND NOT known.try_again
ORDER BY page.position
