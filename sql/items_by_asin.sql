-- A row: one product on the records of discrepant bins: in how many of them, and how many items of it are on record there.
SELECT
    item.asin,
    any_value(item.name) AS name,
    count(DISTINCT bin_id) AS bins,
    sum(item.quantity) AS items_on_record,
    count(DISTINCT bin_id) FILTER (status = 'short') AS short_bins,
    count(DISTINCT bin_id) FILTER (status = 'over') AS over_bins
FROM (SELECT bin_id, status, unnest(items) AS item FROM reconciled WHERE status IN ('short', 'over'))
GROUP BY item.asin
ORDER BY bins DESC, items_on_record DESC NULLS LAST, item.asin
LIMIT $most
