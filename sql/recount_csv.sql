-- A row: one bin of the whole recount queue, as recount.csv gives it to a person. No cell is ever a formula.
SELECT
    recount_rank,
    plain_text(bin_id) AS bin_id,
    status,
    expected_quantity,
    predicted_label AS predicted_count,
    round(p_wrong, 4) AS p_wrong,
    plain_text(array_to_string(
        list_transform(
            coalesce(items, []),
            lambda item: coalesce(item.quantity::VARCHAR, '?') || ' x ' || coalesce(item.asin, '?') || ' ' || coalesce(item.name, '')
        ),
        ' | '
    )) AS items,
    plain_text(image_key) AS image_key
FROM reconciled
WHERE recount_rank IS NOT NULL
ORDER BY recount_rank
