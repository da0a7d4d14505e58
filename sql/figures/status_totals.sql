-- Each row is one status and the number of rows that have it. Every status is listed, also those without rows.
SELECT status, count(reconciled.status) AS bins
FROM (VALUES
    (1, 'match'), (2, 'short'), (3, 'over'), (4, 'no_record'), (5, 'no_image'),
    (6, 'unreadable_image'), (7, 'invalid_record'), (8, 'stale')
) AS known (number, status)
LEFT JOIN reconciled USING (status)
GROUP BY number, status
ORDER BY number
