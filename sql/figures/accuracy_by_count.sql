-- Each row is one count class (a recorded quantity as a label of the model); the last row is for all classes together.
-- The figures say how often and how far the count differs from the record. They assume that every record is correct,
-- although a few are wrong.
--   accuracy_low, accuracy_high  Wilson score interval, 95 % (Wilson 1927, JASA 22:209-212); $z is the normal quantile
WITH compared AS (
    -- All quantities above the last label are one class.
    SELECT least(predicted_count - difference, $last_count + 1) AS expected_count, difference
    FROM reconciled
    WHERE status IN ('match', 'short', 'over')
),
classes AS (
    SELECT
        expected_count,
        grouping(expected_count) = 1 AS is_total,
        count(*) AS n,
        avg((difference = 0)::INT) AS accuracy,
        sqrt(avg(difference * difference)) AS rmse,
        avg(difference) AS mean_signed_error
    FROM compared
    GROUP BY ROLLUP (expected_count)
),
wilson AS (SELECT $z AS z)
SELECT
    CASE
        WHEN is_total THEN 'all'
        WHEN expected_count > $last_count THEN 'more'
        WHEN $open_ended AND expected_count = $last_count THEN expected_count || '+'
        ELSE expected_count::VARCHAR
    END AS count_class,
    n,
    accuracy,
    greatest(0, (accuracy + z * z / (2 * n) - z * sqrt(accuracy * (1 - accuracy) / n + z * z / (4 * n * n))) / (1 + z * z / n)) AS accuracy_low,
    least(1, (accuracy + z * z / (2 * n) + z * sqrt(accuracy * (1 - accuracy) / n + z * z / (4 * n * n))) / (1 + z * z / n)) AS accuracy_high,
    rmse,
    mean_signed_error
FROM classes, wilson
WHERE n > 0
ORDER BY is_total, expected_count
