-- Each row is one value of a part of the bin id, such as one aisle, with its compared bins and their wrong records.
--   expected_wrong  sum of the probabilities that a record is wrong; a recounted bin counts as 0 or 1
--   excess          expected wrong records minus those of the same number of average bins of the run
WITH compared AS (
    SELECT *, probability_wrong(recounted_count, expected_quantity, p_wrong) AS wrong
    FROM reconciled
    WHERE status IN ('match', 'short', 'over')
)
SELECT
    location_part(bin_id, image_key, $pattern, $part) AS part,
    count(*) AS bins,
    sum(wrong) AS expected_wrong,
    sum(wrong) - count(*) * (SELECT avg(wrong) FROM compared) AS excess,
    count(*) FILTER (recount_rank <= $capacity) AS queued,
    count(*) FILTER (status = 'short') AS short_bins,
    count(*) FILTER (status = 'over') AS over_bins
FROM compared
WHERE wrong IS NOT NULL
GROUP BY part
ORDER BY excess DESC, part
LIMIT $most
