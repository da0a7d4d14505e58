-- Each row is one bin that has several records.
SELECT bin_id FROM all_records WHERE bin_id IS NOT NULL GROUP BY ALL HAVING count(*) > 1
