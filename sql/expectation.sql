-- A row: one bin with a count and a record that a label covers: how likely its record is wrong, and what is known of it.
--   is_wrong     what a recount of this photo and record found; null where there was none
--   recount_rank its place in the queue; null where it was recounted
SELECT
    p_wrong,
    p_off,
    recounted_count <> expected_quantity AS is_wrong,
    recounted_count IS NOT NULL AND abs(recounted_count - expected_quantity) > $tolerance AS is_off,
    recount_rank
FROM reconciled
WHERE p_wrong IS NOT NULL
