-- A row: the 1, 2, … 100 % of the compared bins that the model is most certain of: how many, the least probability among
-- them, and how many have the same count on record (El-Yaniv and Wiener 2010, JMLR 11:1605-1641).
WITH certain AS (
    SELECT
        list_max(probabilities) AS largest,
        (difference = 0)::INTEGER AS agrees,
        row_number() OVER (ORDER BY list_max(probabilities) DESC, bin_id, image_key) AS place
    FROM reconciled
    WHERE status IN ('match', 'short', 'over')
),
summed AS (
    SELECT place, largest, sum(agrees) OVER (ORDER BY place ROWS UNBOUNDED PRECEDING) AS agreeing FROM certain
),
points AS (
    SELECT percent, (percent * (SELECT count(*) FROM certain) + 99) // 100 AS place FROM range(1, 101) AS percents (percent)
)
SELECT percent, place AS photos, largest AS least_probability, agreeing::BIGINT AS agreeing
FROM points
JOIN summed USING (place)
ORDER BY percent
