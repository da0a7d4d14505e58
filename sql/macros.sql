-- This file defines macros and returns no rows.
-- plain_text(x): return text that no spreadsheet reads as a formula (OWASP, CSV Injection). This also holds inside the text,
-- where a spreadsheet that splits at semicolons, tabs or line ends would start a cell.
-- reconcile/inputs/spreadsheet_csv.py removes the apostrophes again.
CREATE OR REPLACE MACRO plain_text(x) AS regexp_replace(
    regexp_replace(x, '^([\s\p{Z}\p{C}]*[=+\-@＝＋－＠]|[\t\r\n])', '''\1'),
    '([;\t\r\n][\s\p{Z}\p{C}"]*)([=+\-@＝＋－＠])', '\1''\2', 'g'
);
-- bin_of(key): return the bin id of a key: the file name without its extension, as reconcile/inputs/bin_ids.py does.
-- parse_filename returns an empty text for a name that is only an extension, and for a key that ends in a slash.
CREATE OR REPLACE MACRO bin_of(key) AS CASE
    WHEN parse_filename(key, true, 'forward_slash') <> '' THEN parse_filename(key, true, 'forward_slash')
    ELSE regexp_replace(
        array_extract(string_split(regexp_replace(key, '((^|/)\.?)+$', ''), '/'), -1), '(?s)^(.+)\.[^.]*$', '\1'
    )
END;
-- probability_wrong(recounted, recorded, p): return 1 or 0 if a recount has shown whether the record is wrong, else p.
CREATE OR REPLACE MACRO probability_wrong(recounted, recorded, p) AS CASE
    WHEN recounted IS NULL THEN p
    ELSE (recounted <> recorded)::INTEGER::DOUBLE
END
