-- The single row has the first photo without a record and the first record without a photo, for comparing their ids.
SELECT
    min(bin_id) FILTER (status = 'no_record' AND NOT is_older_photo) AS photo,
    min(bin_id) FILTER (status = 'no_image') AS record
FROM reconciled
