-- A row: one bin that has several photos.
-- Numbers are counted first: of so many texts, hardly one is there twice.
SELECT bin_id
FROM listed_images
SEMI JOIN (
    SELECT hash(bin_id) AS number FROM listed_images GROUP BY number HAVING count(*) > 1
) AS several ON several.number = hash(bin_id)
GROUP BY ALL
HAVING count(*) > 1
