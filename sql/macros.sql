-- plain_text(x): text that no spreadsheet takes for a formula (OWASP, CSV Injection). Also inside the text, where a spreadsheet
-- that splits at semicolons, tabs or line ends would begin a cell. reconcile/spreadsheet.py takes the apostrophes out again.
CREATE OR REPLACE MACRO plain_text(x) AS regexp_replace(
    regexp_replace(x, '^(\s*[=+\-@＝＋－＠]|[\t\r\n])', '''\1'),
    '([;\t\r\n][\s"]*)([=+\-@＝＋－＠])', '\1''\2', 'g'
)
