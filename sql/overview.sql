-- A row, the only one: how much of what there is in this night.
--   photos_counted  photos that the model could count
--   records         records read, invalid ones too; several of a bin are one
--   invalid_records those of which no quantity is known: it could not be read, or several records of the bin disagree
--   met             rows with both a photo and a record
--   older_photos    photos of bins that have a newer one, which is the one that is compared; those that could be read
--   queued          bins that a recount could tell something of
--   agreeing        covered bins of which photo and record give the same label
--   covered         compared bins whose record the model's labels reach: of the others a photo says nothing
SELECT
    count(DISTINCT bin_id) AS bins,
    count(*) FILTER (predicted_count IS NOT NULL) AS photos_counted,
    count(record_key) AS records,
    count(record_key) FILTER (expected_quantity IS NULL) AS invalid_records,
    count(*) FILTER (image_key IS NOT NULL AND record_key IS NOT NULL) AS met,
    count(*) FILTER (is_older_photo AND status = 'no_record') AS older_photos,
    count(*) FILTER (recount_rank IS NOT NULL) AS queued,
    count(*) FILTER (status IN ('match', 'short', 'over') AND p_wrong IS NOT NULL) AS covered,
    count(*) FILTER (difference = 0 AND p_wrong IS NOT NULL) AS agreeing
FROM reconciled
