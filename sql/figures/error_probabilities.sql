-- Each row is one compared bin whose record a label covers, with the probability that its record is wrong.
--   is_wrong      the recount of this photo and record differs from the record; null if there was no recount
--   is_off        the recount differs from the record by more than $tolerance
--   recount_rank  rank in the recount queue; null if the bin was recounted
SELECT
    p_wrong,
    p_off,
    recounted_count <> expected_quantity AS is_wrong,
    recounted_count IS NOT NULL AND abs(recounted_count - expected_quantity) > $tolerance AS is_off,
    recount_rank
FROM reconciled
WHERE p_wrong IS NOT NULL
