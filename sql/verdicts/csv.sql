-- Each row is a row of list.sql as CSV that is safe to open in a spreadsheet. `reconcile verdicts import` reads it too.
SELECT * REPLACE (
    plain_text(bin_id) AS bin_id,
    plain_text(note) AS note,
    plain_text(image_key) AS image_key,
    plain_text(counted_by) AS counted_by,
    plain_text(reason) AS reason
)
FROM verdict_list
