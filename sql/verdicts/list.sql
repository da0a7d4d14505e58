-- Each row is the last verdict on one photo of a bin, as people read it; the newest verdict comes first.
SELECT
    bin_id,
    run_id,
    true_count,
    expected_quantity,
    CASE
        WHEN true_count < expected_quantity THEN 'short'
        WHEN true_count > expected_quantity THEN 'over'
        ELSE 'correct'
    END AS found,
    round(p_wrong, 4) AS p_wrong,
    note,
    image_key,
    strftime(imported_at, '%Y-%m-%dT%H:%M:%SZ') AS imported_at,
    counted_by,
    reason
FROM latest_verdicts
ORDER BY sequence DESC NULLS LAST, imported_at DESC, run_id DESC, bin_id
