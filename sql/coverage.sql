-- A row: the 1, 2, … 100 % of the compared bins that the model is most certain of: how many, the least probability among
-- them, and how many have the same count on record (El-Yaniv and Wiener 2010, JMLR 11:1605-1641).
WITH certain AS (
    SELECT
        list_max(probabilities) AS largest,
        (difference = 0)::INTEGER AS agrees,
        -- In place of the ids themselves, which take ten times as long to sort.
        hash(bin_id, image_key) AS tie
    FROM reconciled
    WHERE status IN ('match', 'short', 'over')
),
summed AS (
    SELECT
        row_number() OVER sorted AS place,
        largest,
        sum(agrees) OVER (sorted ROWS UNBOUNDED PRECEDING) AS agreeing
    FROM certain
    WINDOW sorted AS (ORDER BY largest DESC, tie)
),
points AS (
    SELECT percent, (percent * (SELECT count(*) FROM certain) + 99) // 100 AS place FROM range(1, 101) AS percents (percent)
)
SELECT percent, place AS photos, largest AS least_probability, agreeing::BIGINT AS agreeing
FROM points
JOIN summed USING (place)
ORDER BY percent
