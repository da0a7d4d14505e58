-- plain_text(x): text that no spreadsheet takes for a formula (OWASP, CSV Injection).
CREATE OR REPLACE MACRO plain_text(x) AS CASE WHEN regexp_matches(x, '^[=+\-@\t\r]') THEN '''' || x ELSE x END
