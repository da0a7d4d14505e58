-- A row: one value of a part of the bin id, such as one aisle: the compared bins there and how many of their records are
-- expected to be wrong. Where the pattern finds nothing in the bin id, the image's key is asked.
--   excess  expected wrong records beyond what as many bins of the night's average would have
SELECT
    coalesce(
        nullif(regexp_extract(bin_id, $pattern, $part), ''),
        nullif(regexp_extract(image_key, $pattern, $part), '')
    ) AS part,
    count(*) AS bins,
    sum(p_wrong) AS expected_wrong,
    sum(p_wrong) - count(*) * (SELECT avg(p_wrong) FROM reconciled) AS excess,
    count(*) FILTER (recount_rank <= $capacity) AS queued,
    count(*) FILTER (status = 'short') AS short_bins,
    count(*) FILTER (status = 'over') AS over_bins
FROM reconciled
WHERE p_wrong IS NOT NULL
GROUP BY part
ORDER BY excess DESC, part
LIMIT $most
