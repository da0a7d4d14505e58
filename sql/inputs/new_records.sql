-- Each row is one listed record that has not been read yet.
-- The key and the ETag identify a record. A record that could not be fetched before is returned again.
-- Only positions $start to $end of the listing are searched.
SELECT listed.key, size, listed.etag, modified
FROM listed_records AS listed
ANTI JOIN read_records AS known ON known.key = listed.key AND known.etag = listed.etag AND NOT known.try_again
WHERE position >= $start AND position < $end
ORDER BY position
