-- A row: one listed record (of a stretch of the listing) that has not been read yet, known by its key and etag.
SELECT listed.key, size, listed.etag, modified
FROM listed_records AS listed
ANTI JOIN read_records AS known ON known.key = listed.key AND known.etag = listed.etag AND NOT known.try_again
WHERE position >= $start AND position < $end
ORDER BY position
