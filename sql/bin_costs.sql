-- A row: one bin whose record names a product of known cost, and what an item of this bin costs on average.
SELECT
    bin_id,
    sum(coalesce(item.quantity, 1) * unit_cost) / sum(coalesce(item.quantity, 1)) AS unit_cost
FROM (SELECT bin_id, unnest(items) AS item FROM items) AS of_bin
JOIN unit_costs ON unit_costs.asin = of_bin.item.asin
WHERE coalesce(item.quantity, 1) > 0
GROUP BY bin_id
