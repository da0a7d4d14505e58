-- A row: one bin that has a count and a record, of at most $most of them, evenly spread.
WITH places AS (
    -- Numbers alone are sorted quickly.
    SELECT hash(bin_id) AS place FROM joined WHERE status IN ('match', 'short', 'over') ORDER BY place LIMIT $most
)
SELECT probabilities, predicted_count - difference AS expected_count
FROM joined
WHERE status IN ('match', 'short', 'over') AND hash(bin_id) <= (SELECT max(place) FROM places)
ORDER BY hash(bin_id), image_key
LIMIT $most
