-- Add the product of each bin of a run to the table `products`, if the record of the bin has exactly one product.
INSERT INTO products
SELECT DISTINCT ON (bin_id) $run_id, bin_id, items[1].asin
FROM read_parquet($path)
WHERE
    status IN ('match', 'short', 'over')
    AND len(items) = 1
    AND bin_id IN (SELECT bin_id FROM verdicts WHERE run_id = $run_id)
