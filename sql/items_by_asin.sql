-- A row: one product and the compared bins whose record names it: how many, how many of their records are expected to be
-- wrong, and how many items of it are on record there. Of these products, the ones with most expected wrong records.
--   excess  expected wrong records beyond what as many bins of the night's average would have
WITH named AS (
    SELECT DISTINCT ON (bin_id, item.asin) item.asin, item.name, item.quantity, status, p_wrong
    FROM (SELECT bin_id, status, p_wrong, unnest(items) AS item FROM reconciled WHERE p_wrong IS NOT NULL)
    WHERE item.asin IS NOT NULL
)
SELECT
    asin,
    any_value(name) AS name,
    count(*) AS bins,
    sum(p_wrong) AS expected_wrong,
    sum(p_wrong) - count(*) * (SELECT avg(p_wrong) FROM reconciled) AS excess,
    sum(quantity) AS items_on_record,
    count(*) FILTER (status = 'short') AS short_bins,
    count(*) FILTER (status = 'over') AS over_bins
FROM named
GROUP BY asin
ORDER BY excess DESC, asin
LIMIT $most
