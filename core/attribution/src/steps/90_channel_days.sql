-- What happened in a channel on a day, whatever the model.
SELECT day_n, channel_n, sum(visits) AS visits, sum(inquiries) AS inquiries, sum(new_inquiries) AS new_inquiries,
  sum(cost_minor) AS cost_minor
FROM (
  SELECT day_n, channel_n, count(*) AS visits, 0 AS inquiries, 0 AS new_inquiries, CAST(0 AS BIGINT) AS cost_minor
  FROM x_touch
  WHERE kind = 'visit'
  GROUP BY day_n, channel_n
  UNION ALL
  SELECT day_n, channel_n, 0 AS visits, count(*) AS inquiries,
    sum(CASE WHEN inquiry_number = 1 THEN 1 ELSE 0 END) AS new_inquiries, CAST(0 AS BIGINT) AS cost_minor
  FROM x_inquiry_n
  GROUP BY day_n, channel_n
  UNION ALL
  SELECT day_n, channel_n, 0 AS visits, 0 AS inquiries, 0 AS new_inquiries, sum(reported_minor) AS cost_minor
  FROM x_cost
  GROUP BY day_n, channel_n
) AS u
GROUP BY day_n, channel_n
