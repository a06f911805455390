-- Visits and inquiries of a day by page, device and region; inquiries by the visit they were matched to.
SELECT slice, day_n, member, CAST(sum(visits) AS BIGINT) AS visits, CAST(sum(inquiries) AS BIGINT) AS inquiries
FROM (
  SELECT 'page' AS slice, day_n, coalesce(page_key, '(none)') AS member, count(*) AS visits, 0 AS inquiries
  FROM x_visit
  GROUP BY day_n, page_key
  UNION ALL
  SELECT 'device' AS slice, day_n, coalesce(device, '(none)') AS member, count(*) AS visits, 0 AS inquiries
  FROM x_visit
  GROUP BY day_n, device
  UNION ALL
  SELECT 'region' AS slice, day_n, coalesce(region, '(none)') AS member, count(*) AS visits, 0 AS inquiries
  FROM x_visit
  GROUP BY day_n, region
  UNION ALL
  SELECT 'page' AS slice, q.day_n, coalesce(t.page_key, '(none)') AS member, 0 AS visits, count(*) AS inquiries
  FROM x_inquiry_n AS q
  LEFT JOIN x_touch AS t ON t.touch_n = q.touch_n
  GROUP BY q.day_n, t.page_key
  UNION ALL
  SELECT 'device' AS slice, q.day_n, coalesce(v.device, '(none)') AS member, 0 AS visits, count(*) AS inquiries
  FROM x_inquiry_n AS q
  LEFT JOIN x_touch AS t ON t.touch_n = q.touch_n
  LEFT JOIN x_visit AS v ON v.visit_id = t.visit_id
  GROUP BY q.day_n, v.device
  UNION ALL
  SELECT 'region' AS slice, q.day_n, coalesce(v.region, '(none)') AS member, 0 AS visits, count(*) AS inquiries
  FROM x_inquiry_n AS q
  LEFT JOIN x_touch AS t ON t.touch_n = q.touch_n
  LEFT JOIN x_visit AS v ON v.visit_id = t.visit_id
  GROUP BY q.day_n, v.region
) AS u
GROUP BY slice, day_n, member
