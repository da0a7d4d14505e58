-- Each row is one record that names a product of known unit cost, with the average cost of its items.
SELECT
    items_at,
    sum(coalesce(item.quantity, 1) * unit_cost) / sum(coalesce(item.quantity, 1)) AS unit_cost
FROM (SELECT items_at, unnest(items) AS item FROM items) AS of_bin
JOIN unit_costs ON unit_costs.asin = of_bin.item.asin
WHERE coalesce(item.quantity, 1) > 0
GROUP BY items_at
