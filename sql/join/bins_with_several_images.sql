-- Each row is one bin that has several images.
-- The query groups by a hash first, because hardly any of the many texts occurs twice and numbers group faster.
SELECT bin_id
FROM listed_images
SEMI JOIN (
    SELECT hash(bin_id) AS number FROM listed_images GROUP BY number HAVING count(*) > 1
) AS candidate ON candidate.number = hash(bin_id)
GROUP BY ALL
HAVING count(*) > 1
