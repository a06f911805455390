-- Visits and inquiries of a day by channel and campaign, whatever the model. Number 0 stands for (none).
SELECT day_n, channel_n, campaign_n, CAST(sum(visits) AS BIGINT) AS visits, CAST(sum(inquiries) AS BIGINT) AS inquiries,
  CAST(sum(new_inquiries) AS BIGINT) AS new_inquiries
FROM (
  SELECT day_n, channel_n, coalesce(campaign_n, 0) AS campaign_n, count(*) AS visits, 0 AS inquiries, 0 AS new_inquiries
  FROM x_touch
  WHERE kind = 'visit'
  GROUP BY day_n, channel_n, coalesce(campaign_n, 0)
  UNION ALL
  SELECT q.day_n, q.channel_n, coalesce(t.campaign_n, 0) AS campaign_n, 0 AS visits, count(*) AS inquiries,
    sum(CASE WHEN q.inquiry_number = 1 THEN 1 ELSE 0 END) AS new_inquiries
  FROM x_inquiry_n AS q
  LEFT JOIN x_touch AS t ON t.touch_n = q.touch_n
  GROUP BY q.day_n, q.channel_n, coalesce(t.campaign_n, 0)
) AS u
GROUP BY day_n, channel_n, campaign_n
