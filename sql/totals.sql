-- A row: one status and how many rows of the night have it; every status is listed, also those that nobody has.
SELECT status, count(reconciled.status) AS bins
FROM (VALUES
    (1, 'match'), (2, 'short'), (3, 'over'), (4, 'no_record'), (5, 'no_image'),
    (6, 'unreadable_image'), (7, 'invalid_record'), (8, 'stale')
) AS known (place, status)
LEFT JOIN reconciled USING (status)
GROUP BY place, status
ORDER BY place
