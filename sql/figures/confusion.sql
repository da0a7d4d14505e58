-- Each row is one pair of recorded count and predicted count, with the number of bins that have it.
-- All recorded counts above the last label are one class.
SELECT least(predicted_count - difference, $last_count + 1) AS expected_count, predicted_count, count(*) AS bins
FROM reconciled
WHERE status IN ('match', 'short', 'over')
GROUP BY ALL
ORDER BY ALL
