-- A row: one pair of count on record and count in the photo, and how many bins have it. Records that no label reaches are one.
SELECT least(predicted_count - difference, $last_count + 1) AS expected_count, predicted_count, count(*) AS bins
FROM reconciled
WHERE status IN ('match', 'short', 'over')
GROUP BY ALL
ORDER BY ALL
