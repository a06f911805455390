-- On which days there was what.
SELECT what, day_n, CAST(sum(records) AS BIGINT) AS records
FROM (
  SELECT 'touch' AS what, day_n, count(*) AS records FROM x_touch GROUP BY day_n
  UNION ALL
  SELECT 'inquiry' AS what, day_n, count(*) AS records FROM x_inquiry_n GROUP BY day_n
  UNION ALL
  SELECT 'sale' AS what, day_n, count(*) AS records FROM x_conv WHERE type = 'won' GROUP BY day_n
  UNION ALL
  SELECT 'conversion' AS what, day_n, count(*) AS records FROM x_reported GROUP BY day_n
  UNION ALL
  SELECT 'consent' AS what, day_n, count(*) AS records FROM x_consent GROUP BY day_n
) AS d
GROUP BY what, day_n
