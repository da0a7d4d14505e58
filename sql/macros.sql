-- This file defines macros and returns no rows.
-- plain_text(x): return text that no spreadsheet reads as a formula (OWASP, CSV Injection). This also holds inside the text,
-- where a spreadsheet that splits at semicolons, tabs or line ends would start a cell.
-- reconcile/inputs/cells.py removes the apostrophes again.
CREATE OR REPLACE MACRO plain_text(x) AS regexp_replace(
    regexp_replace(x, '^([\s\p{Z}\p{C}]*[=+\-@＝＋－＠]|[\t\r\n])', '''\1'),
    '([;\t\r\n][\s\p{Z}\p{C}"]*)([=+\-@＝＋－＠])', '\1''\2', 'g'
);
-- location_part(bin_id, image_key, pattern, part): return a group of a pattern, such as the aisle, or null. The pattern is
-- applied to the image's key if it does not match the bin id. `part` is the number of the group.
CREATE OR REPLACE MACRO location_part(bin_id, image_key, pattern, part) AS left(coalesce(
    nullif(regexp_extract(bin_id, pattern, part), ''),
    nullif(regexp_extract(image_key, pattern, part), '')
), 100);
-- natural_order(x): return a sort key that orders numbers by value, so that A-9 comes before A-10.
CREATE OR REPLACE MACRO natural_order(x) AS array_to_string(list_transform(
    regexp_extract_all(x, '[0-9]+|[^0-9]+'),
    lambda run: CASE WHEN regexp_full_match(run, '[0-9]+') THEN lpad(run, greatest(20, length(run))::INTEGER, '0') ELSE run END
), '');
-- bin_of(key): return the bin id of a key: the file name without its extension, as reconcile/inputs/bin_ids.py does.
-- parse_filename returns an empty text for a name that is only an extension, and for a key that ends in a slash.
CREATE OR REPLACE MACRO bin_of(key) AS CASE
    WHEN parse_filename(key, true, 'forward_slash') <> '' THEN parse_filename(key, true, 'forward_slash')
    ELSE regexp_replace(
        array_extract(string_split(regexp_replace(key, '((^|/)\.?)+$', ''), '/'), -1), '(?s)^(.+)\.[^.]*$', '\1'
    )
END;
-- change_time(x): return the time in a text, or null. DuckDB accepts infinite times and times before Christ, too. Such a value
-- is an error in the table.
CREATE OR REPLACE MACRO change_time(x) AS CASE
    WHEN try_cast(trim(x) AS TIMESTAMPTZ) BETWEEN TIMESTAMPTZ '1970-01-01' AND TIMESTAMPTZ '2200-01-01'
        THEN try_cast(trim(x) AS TIMESTAMPTZ)
END;
-- change_note(x): return a note if a text is not empty and holds no time.
CREATE OR REPLACE MACRO change_note(x) AS CASE
    WHEN change_time(x) IS NULL AND trim(x) <> '' THEN 'the time of the last change cannot be read: ' || left(trim(x), 40)
END;
-- probability_wrong(recounted, recorded, p): return 1 or 0 if a recount has shown whether the record is wrong, else p.
CREATE OR REPLACE MACRO probability_wrong(recounted, recorded, p) AS CASE
    WHEN recounted IS NULL THEN p
    ELSE (recounted <> recorded)::INTEGER::DOUBLE
END
