-- A row: one status and reason of bins that could not be compared, how many there are, and up to three of them.
SELECT
    status,
    reason,
    count(*) AS bins,
    list_slice(list(coalesce(image_key, record_key) ORDER BY coalesce(image_key, record_key)), 1, 3) AS examples
FROM reconciled
WHERE status NOT IN ('match', 'short', 'over')
GROUP BY status, reason
ORDER BY status, bins DESC, reason
LIMIT $most
