-- A row: one bin that has a count and a record, of at most $most of them, evenly spread.
WITH compared AS (
    SELECT
        probabilities,
        predicted_count - difference AS expected_count,
        row_number() OVER (ORDER BY hash(bin_id), image_key) AS place
    FROM joined
    WHERE status IN ('match', 'short', 'over')
)
SELECT probabilities, expected_count FROM compared WHERE place <= $most
