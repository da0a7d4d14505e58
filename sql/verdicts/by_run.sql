-- Each row is the last verdict on one bin of one run. Older parts have no sequence and come first.
SELECT run_id, bin_id, true_count, note
FROM verdicts
QUALIFY row_number() OVER (
    PARTITION BY run_id, bin_id ORDER BY sequence DESC NULLS LAST, imported_at DESC, line DESC
) = 1
