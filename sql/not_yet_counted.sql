-- A row: one listed image (of one page of the listing) that this model has not counted yet.
-- An image is known by its key and etag; one that could not be fetched last time is tried again.
SELECT page.key, page.size, page.etag, page.modified
FROM page
ANTI JOIN (
    -- Keys of a page are neighbours and the table is sorted by key, so most of it need not be looked at.
    SELECT * FROM counts WHERE image_key BETWEEN $first AND $last
) AS counts
    ON counts.image_key = page.key AND counts.etag = page.etag AND NOT counts.try_again
ORDER BY page.position
