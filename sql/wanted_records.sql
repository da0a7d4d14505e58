-- A row: one listed record (of one page of the listing) of a bin whose image is part of this run. Used with --limit.
SELECT page.key, page.size, page.etag, page.modified
FROM page
SEMI JOIN listed_images ON listed_images.bin_id = page.bin_id
ORDER BY page.position
