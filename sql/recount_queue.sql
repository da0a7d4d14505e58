-- A row: one bin of the recount queue, first things first.
SELECT recount_rank, bin_id, image_key, status, expected_quantity, predicted_label, predicted_count, difference, p_wrong,
       probabilities, items, note
FROM reconciled
WHERE recount_rank IS NOT NULL
ORDER BY recount_rank
LIMIT $most
