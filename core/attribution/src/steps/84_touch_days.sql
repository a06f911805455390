-- The words touches carried, by day.
SELECT DISTINCT t.day_n, lower(c.source) AS source, lower(c.medium) AS medium, lower(c.campaign) AS campaign,
  lower(c.ad) AS ad, lower(c.keyword) AS keyword
FROM (SELECT DISTINCT day_n, campaign_n FROM x_touch WHERE campaign_n IS NOT NULL) AS t
JOIN x_campaign AS c ON c.campaign_n = t.campaign_n
