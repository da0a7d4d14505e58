-- Each row is one bin with a count and a record, from a pseudo-random sample of at most $most bins.
-- The sample is the bins with the smallest hashes of their ids.
WITH smallest AS (
    -- DuckDB sorts numbers much faster than whole rows.
    SELECT hash(bin_id) AS number FROM joined WHERE status IN ('match', 'short', 'over') ORDER BY number LIMIT $most
)
SELECT probabilities, predicted_count - difference AS expected_count
FROM joined
WHERE status IN ('match', 'short', 'over') AND hash(bin_id) <= (SELECT max(number) FROM smallest)
ORDER BY hash(bin_id), image_key
LIMIT $most
