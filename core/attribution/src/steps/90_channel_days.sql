-- What happened in a channel on a day, whatever the model.
SELECT day_n, channel_n, CAST(sum(visits) AS BIGINT) AS visits, CAST(sum(inquiries) AS BIGINT) AS inquiries,
  CAST(sum(new_inquiries) AS BIGINT) AS new_inquiries, CAST(sum(cost_minor) AS BIGINT) AS cost_minor,
  CAST(sum(impressions) AS BIGINT) AS impressions, CAST(sum(clicks) AS BIGINT) AS clicks
FROM (
  SELECT day_n, channel_n, visits, inquiries, new_inquiries, CAST(0 AS BIGINT) AS cost_minor,
    CAST(0 AS BIGINT) AS impressions, CAST(0 AS BIGINT) AS clicks
  FROM x_day_cell
  UNION ALL
  SELECT day_n, channel_n, CAST(0 AS BIGINT) AS visits, CAST(0 AS BIGINT) AS inquiries, CAST(0 AS BIGINT) AS new_inquiries,
    reported_minor AS cost_minor, coalesce(impressions, 0) AS impressions, coalesce(clicks, 0) AS clicks
  FROM x_cost
) AS u
GROUP BY day_n, channel_n
