-- A row: one bin that has several photos.
SELECT bin_id FROM listed_images GROUP BY ALL HAVING count(*) > 1
