-- A row: one product and the compared bins whose record names it: how many, how many of their records are expected to be
-- wrong (of recounted bins it is known), and how many items of it are on record there. Of these products, the ones with most
-- wrong records beyond their share.
--   excess  expected wrong records beyond what as many bins of the night's average would have
WITH judged AS (
    SELECT image_key, status, items, wrong_share(recounted_count, expected_quantity, p_wrong) AS wrong
    FROM reconciled
    WHERE status IN ('match', 'short', 'over')
),
named AS (
    SELECT item.asin, any_value(item.name) AS name, sum(item.quantity) AS quantity, status, wrong
    FROM (SELECT image_key, status, wrong, unnest(items) AS item FROM judged WHERE wrong IS NOT NULL)
    WHERE item.asin IS NOT NULL
    GROUP BY image_key, item.asin, status, wrong
)
SELECT
    left(asin, 40) AS asin,
    left(any_value(name), 200) AS name,
    count(*) AS bins,
    sum(wrong) AS expected_wrong,
    sum(wrong) - count(*) * (SELECT avg(wrong) FROM judged) AS excess,
    sum(quantity) AS items_on_record,
    count(*) FILTER (status = 'short') AS short_bins,
    count(*) FILTER (status = 'over') AS over_bins
FROM named
GROUP BY named.asin
ORDER BY excess DESC, named.asin
LIMIT $most
