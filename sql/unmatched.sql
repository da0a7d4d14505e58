-- A row, only one: the first photo without a record and the first record without a photo, to be held side by side.
SELECT
    min(bin_id) FILTER (status = 'no_record' AND NOT is_older_photo) AS photo,
    min(bin_id) FILTER (status = 'no_image') AS record
FROM reconciled
