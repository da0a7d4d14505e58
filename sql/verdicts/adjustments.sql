-- Each row is one wrong record, as a stock adjustment that corrects it. It comes from the last verdict on the bin.
-- The table `products` has the product of each bin whose record has exactly one.
WITH last_verdicts AS (
    SELECT *
    FROM latest_verdicts
    QUALIFY row_number() OVER (
        PARTITION BY bucket, bin_id ORDER BY sequence DESC NULLS LAST, imported_at DESC, line DESC, run_id DESC
    ) = 1
)
SELECT
    plain_text(bin_id) AS bin_id,
    plain_text(product_id) AS product_id,
    expected_quantity AS quantity_from,
    true_count AS quantity_to,
    true_count - expected_quantity AS difference,
    plain_text(counted_by) AS counted_by,
    strftime(coalesce(counted_at, imported_at), '%Y-%m-%dT%H:%M:%SZ') AS counted_at,
    plain_text(reason) AS reason,
    plain_text(note) AS note,
    run_id
FROM last_verdicts LEFT JOIN products USING (run_id, bin_id)
WHERE true_count <> expected_quantity AND ($run_id IS NULL OR run_id = $run_id)
ORDER BY coalesce(counted_at, imported_at), bin_id, run_id
