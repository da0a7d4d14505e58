-- A row: one bin of the recount queue, first things first.
SELECT recount_rank, bin_id, image_key, status, expected_quantity, predicted_label, predicted_count, difference, p_wrong,
       label_if_wrong, CASE WHEN is_over_if_wrong THEN 'over' WHEN NOT is_over_if_wrong THEN 'short' END AS direction, units_off, value_off,
       probabilities, items, note, photographed_at
FROM reconciled
WHERE recount_rank IS NOT NULL
ORDER BY recount_rank
LIMIT $most
