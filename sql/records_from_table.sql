-- A row: one line of the table given by --records, its quantity checked by the same rules as a JSON record's.
-- source_rows has (source, line, bin_id, quantity, changed_at), the last three as text; a line that could not be taken apart has
-- them null. Where nobody asked when a record changed, changed_at is null.
WITH parsed AS (
    SELECT
        source,
        line,
        nullif(trim(bin_id), '') AS bin_id,
        trim(quantity) AS quantity,
        nullif(trim(changed_at), '') AS changed_text,
        try_cast(trim(changed_at) AS TIMESTAMPTZ) AS changed_time,
        -- Infinite times, and those before Christ, are times to DuckDB.
        CASE WHEN changed_time BETWEEN TIMESTAMPTZ '1970-01-01' AND TIMESTAMPTZ '2200-01-01' THEN changed_time END AS changed_at,
        try_cast(trim(quantity) AS DOUBLE) AS number
    FROM source_rows
)
SELECT
    bin_id,
    source || ' row ' || line AS record_key,
    CASE WHEN number >= 0 AND number = floor(number) AND number <= 9007199254740992 THEN number::BIGINT END AS expected_quantity,
    CAST(NULL AS BIGINT) AS items_at,
    CASE WHEN changed_at IS NULL THEN 'when it changed cannot be read: ' || left(changed_text, 40) END AS note,
    changed_at,
    CASE
        WHEN bin_id IS NULL AND quantity IS NULL THEN 'the row cannot be taken apart'
        WHEN bin_id IS NULL THEN 'the bin id is missing'
        WHEN coalesce(quantity, '') = '' THEN 'the expected quantity is missing'
        WHEN number IS NULL THEN 'the expected quantity is no number: ' || left(quantity, 40)
        WHEN isnan(number) OR number > 9007199254740992 THEN 'the expected quantity is no count: ' || left(quantity, 40)
        WHEN number < 0 THEN 'the expected quantity is negative: ' || quantity
        WHEN number <> floor(number) THEN 'the expected quantity is fractional: ' || quantity
    END AS reason
FROM parsed
