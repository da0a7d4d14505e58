-- A row: a row of verdict_list.sql as CSV that a spreadsheet may open; `reconcile verdicts import` takes it too.
SELECT * REPLACE (plain_text(bin_id) AS bin_id, plain_text(note) AS note, plain_text(image_key) AS image_key)
FROM verdict_list
