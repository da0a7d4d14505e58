-- plain_text(x): text that no spreadsheet takes for a formula (OWASP, CSV Injection). Also inside the text, where a spreadsheet
-- that splits at semicolons, tabs or line ends would begin a cell. reconcile/spreadsheet.py takes the apostrophes out again.
CREATE OR REPLACE MACRO plain_text(x) AS regexp_replace(
    regexp_replace(x, '^([\s\p{Z}\p{C}]*[=+\-@＝＋－＠]|[\t\r\n])', '''\1'),
    '([;\t\r\n][\s\p{Z}\p{C}"]*)([=+\-@＝＋－＠])', '\1''\2', 'g'
);
-- bin_of(key): as reconcile/records.py has it: the file's name without its ending. What parse_filename leaves empty is a name that
-- is nothing but an ending, or a key that ends in a slash.
CREATE OR REPLACE MACRO bin_of(key) AS CASE
    WHEN parse_filename(key, true, 'forward_slash') <> '' THEN parse_filename(key, true, 'forward_slash')
    ELSE regexp_replace(
        array_extract(string_split(regexp_replace(key, '((^|/)\.?)+$', ''), '/'), -1), '(?s)^(.+)\.[^.]*$', '\1'
    )
END;
-- wrong_share(found, recorded, p): 1 or 0 where a recount tells whether a record is wrong, else the probability.
CREATE OR REPLACE MACRO wrong_share(found, recorded, p) AS CASE
    WHEN found IS NULL THEN p
    ELSE (found <> recorded)::INTEGER::DOUBLE
END
