-- Each row is one bin that has several valid rows in the table given by --records: its id, and its first two rows.
-- The query groups by a hash first, because hardly any of many ids occurs twice and numbers group faster.
WITH candidates AS (
    SELECT hash(trim(bin_id)) AS number FROM source_rows WHERE reason IS NULL GROUP BY number HAVING count(*) > 1
)
SELECT trim(bin_id) AS bin, min(line) AS first_line, min(line, 2)[2] AS second_line
FROM source_rows
SEMI JOIN candidates ON candidates.number = hash(trim(source_rows.bin_id))
WHERE reason IS NULL
GROUP BY bin
HAVING count(*) > 1
