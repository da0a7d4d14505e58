-- Each row is one bin of the recount list as a count task for a warehouse management system, with names and null as in JSON.
-- A task whose true_count is filled in is a line of a file of verdicts. Texts are as in the records, not guarded for spreadsheets.
SELECT
    'reconcile.count-task/1' AS schema,
    $run_id || '/' || bin_id AS task_id,
    $run_id AS run_id,
    bin_id,
    image_key,
    location,
    walking_order,
    recount_rank AS priority,
    expected_quantity,
    predicted_label AS predicted_count,
    likely_label AS likely_count,
    label_if_wrong AS likely_if_wrong,
    round(p_wrong, 4) AS p_wrong,
    round(units_off, 3) AS units_off,
    round(value_off, 2) AS value_off,
    list_transform(
        coalesce(items, []), lambda item: {'product_id': item.asin, 'name': item.name, 'quantity': item.quantity}
    ) AS items,
    NULL AS true_count,
    NULL AS note
FROM reconciled JOIN locations USING (recount_rank)
WHERE recount_rank <= $capacity
ORDER BY recount_rank
