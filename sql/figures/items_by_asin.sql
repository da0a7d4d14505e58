-- Each row is one product, with the compared bins whose record names it and their wrong records.
-- The $most products with the largest excess come first.
--   expected_wrong   sum of the probabilities that a record is wrong; a recounted bin counts as 0 or 1
--   excess           expected wrong records minus those of the same number of average bins of the run
--   items_on_record  recorded quantity of the product in these bins
WITH compared AS (
    SELECT
        status,
        items,
        list_transform(items, lambda item: item.asin) AS asins,
        probability_wrong(recounted_count, expected_quantity, p_wrong) AS wrong
    FROM reconciled
    WHERE status IN ('match', 'short', 'over')
),
named AS (
    SELECT
        unnest(items) AS item,
        -- A bin whose record names a product twice is one bin. Grouping by bin would be much slower.
        unnest(list_transform(asins, lambda asin, position: position = list_position(asins, asin))) AS is_first,
        status,
        wrong
    FROM compared
    WHERE wrong IS NOT NULL
)
SELECT
    left(item.asin, 40) AS asin,
    left(any_value(item.name), 200) AS name,
    count(*) FILTER (is_first) AS bins,
    sum(wrong) FILTER (is_first) AS expected_wrong,
    sum(wrong) FILTER (is_first) - count(*) FILTER (is_first) * (SELECT avg(wrong) FROM compared) AS excess,
    sum(item.quantity) AS items_on_record,
    count(*) FILTER (is_first AND status = 'short') AS short_bins,
    count(*) FILTER (is_first AND status = 'over') AS over_bins
FROM named
WHERE item.asin IS NOT NULL
GROUP BY item.asin
ORDER BY excess DESC, item.asin
LIMIT $most
