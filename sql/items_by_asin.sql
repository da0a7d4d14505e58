-- A row: one product and the compared bins whose record names it: how many, how many of their records are expected to be
-- wrong (of recounted bins it is known), and how many items of it are on record there. Of these products, the ones with most
-- wrong records beyond their share.
--   excess  expected wrong records beyond what as many bins of the night's average would have
WITH judged AS (
    SELECT
        status,
        items,
        list_transform(items, lambda item: item.asin) AS asins,
        wrong_share(recounted_count, expected_quantity, p_wrong) AS wrong
    FROM reconciled
    WHERE status IN ('match', 'short', 'over')
),
named AS (
    SELECT
        unnest(items) AS item,
        -- A bin whose record names a product twice is one bin. (Grouping by bin would take three times as long.)
        unnest(list_transform(asins, lambda asin, place: place = list_position(asins, asin))) AS is_first,
        status,
        wrong
    FROM judged
    WHERE wrong IS NOT NULL
)
SELECT
    left(item.asin, 40) AS asin,
    left(any_value(item.name), 200) AS name,
    count(*) FILTER (is_first) AS bins,
    sum(wrong) FILTER (is_first) AS expected_wrong,
    sum(wrong) FILTER (is_first) - count(*) FILTER (is_first) * (SELECT avg(wrong) FROM judged) AS excess,
    sum(item.quantity) AS items_on_record,
    count(*) FILTER (is_first AND status = 'short') AS short_bins,
    count(*) FILTER (is_first AND status = 'over') AS over_bins
FROM named
WHERE item.asin IS NOT NULL
GROUP BY item.asin
ORDER BY excess DESC, item.asin
LIMIT $most
