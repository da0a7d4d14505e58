-- plain_text(x): text that no spreadsheet takes for a formula (OWASP, CSV Injection). Also inside the text, where a spreadsheet
-- that splits at semicolons, tabs or line ends would begin a cell. reconcile/spreadsheet.py takes the apostrophes out again.
CREATE OR REPLACE MACRO plain_text(x) AS regexp_replace(
    regexp_replace(x, '^([\s\p{Z}\p{C}]*[=+\-@＝＋－＠]|[\t\r\n])', '''\1'),
    '([;\t\r\n][\s\p{Z}\p{C}"]*)([=+\-@＝＋－＠])', '\1''\2', 'g'
);
-- wrong_share(found, recorded, p): 1 or 0 where a recount tells whether a record is wrong, else the probability.
CREATE OR REPLACE MACRO wrong_share(found, recorded, p) AS CASE
    WHEN found IS NULL THEN p
    ELSE (found <> recorded)::INTEGER::DOUBLE
END
