SELECT day_n AS date, member AS page_key, visits, inquiries,
  CAST(inquiries AS DOUBLE) / CAST(nullif(visits, 0) AS DOUBLE) AS conversion
FROM x_visit_slice
WHERE slice = 'page'
