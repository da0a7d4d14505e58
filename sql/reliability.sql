-- A row: the compared bins whose likeliest count has a probability over low and at most high (fifteen of equal width, as
-- in Guo et al. 2017, On Calibration of Modern Neural Networks): their number, the mean of these probabilities, and how
-- many have that count on record.
WITH certain AS (
    SELECT list_max(probabilities) AS largest, difference = 0 AS agrees
    FROM reconciled
    WHERE status IN ('match', 'short', 'over')
)
SELECT
    least(14, greatest(0, ceil(largest * 15) - 1))::INTEGER AS place,
    count(*) AS photos,
    avg(largest) AS probability,
    count(*) FILTER (agrees) AS agreeing
FROM certain
GROUP BY place
ORDER BY place
