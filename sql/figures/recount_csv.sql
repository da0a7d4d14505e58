-- Each row is one bin of the recount list, with empty columns true_count and note for the person who recounts.
-- The view `locations` has the walking order and a column for each part of the bin's location.
-- No cell can be read as a formula or is longer than Excel allows. `reconcile verdicts import` reads the filled-in file.
SELECT
    recount_rank,
    plain_text(bin_id) AS bin_id,
    expected_quantity,
    predicted_label AS predicted_count,
    label_if_wrong AS likely_if_wrong,
    round(p_wrong, 4) AS p_wrong,
    round(units_off, 3) AS units_off,
    round(value_off, 2) AS value_off,
    plain_text(left(array_to_string(
        list_transform(
            coalesce(items, []),
            lambda item: coalesce(item.quantity::VARCHAR, '?') || ' x ' || coalesce(item.asin, '?') || ' ' || coalesce(item.name, '')
        ),
        ' | '
    ), 32000)) AS items,
    plain_text(image_key) AS image_key,
    $run_id AS run_id,
    NULL AS true_count,
    NULL AS note,
    likely_label AS likely_count,
    locations.* EXCLUDE (recount_rank, location)
FROM reconciled JOIN locations USING (recount_rank)
WHERE recount_rank <= $capacity
ORDER BY recount_rank
