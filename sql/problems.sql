-- A row: one status and reason of rows that could not be compared, how many there are, and up to three of them. Of each
-- status the most frequent reasons; left_out says how many more reasons it has, in its last row.
WITH reasons AS (
    SELECT
        status,
        reason,
        count(*) AS bins,
        min(culprit, 3) AS examples,
        row_number() OVER (PARTITION BY status ORDER BY count(*) DESC, reason) AS place,
        count(*) OVER (PARTITION BY status) AS of_status
    FROM (
        SELECT
            *, CASE WHEN status = 'invalid_record' THEN record_key ELSE coalesce(image_key, record_key) END AS culprit
        FROM reconciled
    )
    WHERE status NOT IN ('match', 'short', 'over')
    GROUP BY status, reason
)
SELECT status, reason, bins, examples, CASE WHEN place = $most THEN of_status - place ELSE 0 END AS left_out
FROM reasons
WHERE place <= $most
ORDER BY status, place
