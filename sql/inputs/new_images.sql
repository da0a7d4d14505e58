-- Each row is one listed image that this model has not counted yet.
-- The key and the ETag identify an image. An image that could not be fetched before is returned again.
-- Only positions $start to $end of the listing are searched.
SELECT listed.key, size, listed.etag, modified
FROM listed_images AS listed
ANTI JOIN counted AS known ON known.key = listed.key AND known.etag = listed.etag AND NOT known.try_again
WHERE position >= $start AND position < $end
ORDER BY position
