-- A row: one value of a part of the bin id, such as one aisle: the compared bins there and how many of their records are
-- expected to be wrong (of recounted bins it is known). Where the pattern finds nothing in the bin id, the image's key is asked.
--   excess  expected wrong records beyond what as many bins of the night's average would have
WITH judged AS (
    SELECT *, wrong_share(recounted_count, expected_quantity, p_wrong) AS wrong
    FROM reconciled
    WHERE status IN ('match', 'short', 'over')
)
SELECT
    left(coalesce(
        nullif(regexp_extract(bin_id, $pattern, $part), ''),
        nullif(regexp_extract(image_key, $pattern, $part), '')
    ), 100) AS part,
    count(*) AS bins,
    sum(wrong) AS expected_wrong,
    sum(wrong) - count(*) * (SELECT avg(wrong) FROM judged) AS excess,
    count(*) FILTER (recount_rank <= $capacity) AS queued,
    count(*) FILTER (status = 'short') AS short_bins,
    count(*) FILTER (status = 'over') AS over_bins
FROM judged
WHERE wrong IS NOT NULL
GROUP BY part
ORDER BY excess DESC, part
LIMIT $most
