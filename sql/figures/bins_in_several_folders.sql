-- The single row has the number of bins with photos in several folders, and two such photos of one bin.
WITH bins AS (
    SELECT bin_id, min(image_key) AS first_key, max(image_key) AS last_key
    FROM reconciled
    SEMI JOIN (SELECT DISTINCT bin_id FROM reconciled WHERE is_older_photo) USING (bin_id)
    WHERE image_key IS NOT NULL
    GROUP BY bin_id
    HAVING count(DISTINCT regexp_replace(image_key, '[^/]*$', '')) > 1
)
SELECT count(*) AS bins, arg_min(first_key, bin_id) AS first_key, arg_min(last_key, bin_id) AS last_key FROM bins
