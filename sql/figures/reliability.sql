-- Each row is one of $calibration_bins equally wide ranges of probability, with the compared bins whose most probable count
-- falls into it (Guo et al. 2017, On Calibration of Modern Neural Networks).
-- A row has the number of these bins, the mean of their probabilities, and how many agree with the record. A range includes
-- its upper limit.
WITH certain AS (
    SELECT list_max(probabilities) AS largest, difference = 0 AS agrees
    FROM reconciled
    WHERE status IN ('match', 'short', 'over')
)
SELECT
    least($calibration_bins - 1, greatest(0, ceil(largest * $calibration_bins) - 1))::INTEGER AS bin_index,
    count(*) AS photos,
    avg(largest) AS probability,
    count(*) FILTER (agrees) AS agreeing
FROM certain
GROUP BY bin_index
ORDER BY bin_index
