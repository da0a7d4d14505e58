-- Each row is one bin of the recount queue, in order.
-- Texts from records are truncated, so that no record can bloat the report.
SELECT
    recount_rank,
    bin_id,
    image_key,
    image_etag,
    status,
    expected_quantity,
    predicted_label,
    predicted_count,
    p_wrong,
    label_if_wrong,
    CASE WHEN is_over_if_wrong THEN 'over' WHEN NOT is_over_if_wrong THEN 'short' END AS direction,
    units_off,
    value_off,
    probabilities,
    list_transform(
        list_slice(items, 1, $most_items),
        lambda item: {'asin': left(item.asin, 40), 'name': left(item.name, 200), 'quantity': item.quantity}
    ) AS items,
    greatest(0, coalesce(len(items), 0) - $most_items) AS more_items,
    left(note, 300) AS note
FROM reconciled
WHERE recount_rank IS NOT NULL
ORDER BY recount_rank
LIMIT $most
