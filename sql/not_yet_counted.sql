-- A row: one listed image (of a stretch of the listing) that this model has not counted yet.
-- An image is known by its key and etag; one that could not be fetched last time is tried again.
SELECT listed.key, size, listed.etag, modified
FROM listed_images AS listed
ANTI JOIN counted AS known ON known.key = listed.key AND known.etag = listed.etag AND NOT known.try_again
WHERE position >= $start AND position < $end
ORDER BY position
