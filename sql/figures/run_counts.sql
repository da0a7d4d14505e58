-- The single row has the counts of a run. output/summary.py has a class with exactly these columns.
--   photos_counted      photos with a count
--   records             bins on record, including invalid records; several records of a bin count once
--   invalid_records     bins on record without a known quantity: it could not be read, or several records disagree
--   met                 rows with both a photo and a record
--   older_photos        readable photos of bins that have a newer photo; only the newest is compared
--   queued              bins in the recount queue
--   suspect             bins in the recount queue that are worth a recount
--   covered             compared bins whose record a label of the model covers; other bins have no p_wrong
--   agreeing            covered bins in which photo and record have the same label
--   blank_photos        photos that have nearly one colour
--   identical_photos    photos with the same bytes as another photo
--   blank_or_identical  photos that are blank or identical to another photo
WITH repeated AS (
    SELECT content_hash FROM reconciled WHERE content_hash IS NOT NULL GROUP BY content_hash HAVING count(*) > 1
)
SELECT
    count(DISTINCT bin_id) AS bins,
    count(*) FILTER (predicted_count IS NOT NULL) AS photos_counted,
    count(record_key) AS records,
    count(record_key) FILTER (expected_quantity IS NULL) AS invalid_records,
    count(*) FILTER (image_key IS NOT NULL AND record_key IS NOT NULL) AS met,
    count(*) FILTER (is_older_photo AND status = 'no_record') AS older_photos,
    count(*) FILTER (recount_rank IS NOT NULL) AS queued,
    count(*) FILTER (suspect) AS suspect,
    count(*) FILTER (status IN ('match', 'short', 'over') AND p_wrong IS NOT NULL) AS covered,
    count(*) FILTER (difference = 0 AND p_wrong IS NOT NULL) AS agreeing,
    count(*) FILTER (is_blank) AS blank_photos,
    count(repeated.content_hash) AS identical_photos,
    count(*) FILTER (is_blank OR repeated.content_hash IS NOT NULL) AS blank_or_identical
FROM reconciled
LEFT JOIN repeated USING (content_hash)
