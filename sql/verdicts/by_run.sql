-- Each row is the last verdict on one bin of one run. Older parts have no sequence and come first.
-- Rows without a count are left out: the person could not count, or withdrew a row. Withdrawn rows are left out, too.
SELECT run_id, bin_id, true_count, note
FROM verdicts
WHERE true_count IS NOT NULL
    AND (entry_id IS NULL OR entry_id NOT IN (SELECT withdraws FROM verdicts WHERE withdraws IS NOT NULL))
QUALIFY row_number() OVER (
    PARTITION BY run_id, bin_id ORDER BY sequence DESC NULLS LAST, imported_at DESC, line DESC
) = 1
