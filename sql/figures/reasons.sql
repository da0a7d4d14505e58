-- Each row is one status and reason of rows that were not compared, with their number and up to three examples.
-- Each status has its $most most frequent reasons. The last of them has the number of further reasons in left_out.
WITH reasons AS (
    SELECT
        status,
        reason,
        count(*) AS bins,
        min(key, 3) AS examples,
        row_number() OVER (PARTITION BY status ORDER BY count(*) DESC, reason) AS number,
        count(*) OVER (PARTITION BY status) AS reasons_of_status
    FROM (
        SELECT *, CASE WHEN status = 'invalid_record' THEN record_key ELSE coalesce(image_key, record_key) END AS key
        FROM reconciled
    )
    WHERE status NOT IN ('match', 'short', 'over')
    GROUP BY status, reason
)
SELECT status, reason, bins, examples, CASE WHEN number = $most THEN reasons_of_status - number ELSE 0 END AS left_out
FROM reasons
WHERE number <= $most
ORDER BY status, number
