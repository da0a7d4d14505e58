-- Each row is one percentage: the 1, 2, … 100 % of the compared bins with the most certain counts.
-- A row has the number of these bins, the least probability among them, and how many agree with the record.
-- Source: El-Yaniv and Wiener 2010, JMLR 11:1605-1641.
WITH certain AS (
    SELECT
        list_max(probabilities) AS largest,
        (difference = 0)::INTEGER AS agrees,
        -- Hashes sort much faster than the ids themselves.
        hash(bin_id, image_key) AS tie
    FROM reconciled
    WHERE status IN ('match', 'short', 'over')
),
summed AS (
    SELECT
        row_number() OVER sorted AS number,
        largest,
        sum(agrees) OVER (sorted ROWS UNBOUNDED PRECEDING) AS agreeing
    FROM certain
    WINDOW sorted AS (ORDER BY largest DESC, tie)
),
points AS (
    SELECT percent, (percent * (SELECT count(*) FROM certain) + 99) // 100 AS number FROM range(1, 101) AS percents (percent)
)
SELECT percent, number AS photos, largest AS least_probability, agreeing::BIGINT AS agreeing
FROM points
JOIN summed USING (number)
ORDER BY percent
