-- Each row is one row of the table given by --records, checked by the rules that also apply to JSON records.
-- source_rows has source, line, bin_id, quantity and changed_at. The last three are text, or null in a row that could not
-- be parsed. changed_at is null in all rows if the run has no --stale-after.
WITH parsed AS (
    SELECT
        source,
        line,
        nullif(trim(bin_id), '') AS bin_id,
        trim(quantity) AS quantity,
        nullif(trim(changed_at), '') AS changed_text,
        try_cast(trim(changed_at) AS TIMESTAMPTZ) AS changed_time,
        -- DuckDB accepts infinite times and times before Christ. Such a value is an error in the table.
        CASE WHEN changed_time BETWEEN TIMESTAMPTZ '1970-01-01' AND TIMESTAMPTZ '2200-01-01' THEN changed_time END AS changed_at,
        try_cast(trim(quantity) AS DOUBLE) AS number
    FROM source_rows
)
SELECT
    bin_id,
    source || ' row ' || line AS record_key,
    CASE WHEN number >= 0 AND number = floor(number) AND number <= 9007199254740992 THEN number::BIGINT END AS expected_quantity,
    CAST(NULL AS BIGINT) AS items_at,
    CASE WHEN changed_at IS NULL THEN 'the time of the last change cannot be read: ' || left(changed_text, 40) END AS note,
    changed_at,
    CASE
        WHEN bin_id IS NULL AND quantity IS NULL THEN 'the row cannot be parsed'
        WHEN bin_id IS NULL THEN 'the bin id is missing'
        WHEN coalesce(quantity, '') = '' THEN 'the expected quantity is missing'
        WHEN number IS NULL THEN 'the expected quantity is not a number: ' || left(quantity, 40)
        WHEN isnan(number) OR number > 9007199254740992 THEN 'the expected quantity is not a count: ' || left(quantity, 40)
        WHEN number < 0 THEN 'the expected quantity is negative: ' || quantity
        WHEN number <> floor(number) THEN 'the expected quantity is fractional: ' || quantity
    END AS reason
FROM parsed
