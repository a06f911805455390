-- Touches of a campaign on a day, with the words they carried.
SELECT t.day_n, t.campaign_n, t.touches, c.campaign_key, lower(c.source) AS source, lower(c.medium) AS medium,
  lower(c.campaign) AS campaign, lower(c.ad) AS ad, lower(c.keyword) AS keyword
FROM (
  SELECT day_n, campaign_n, CAST(sum(touches) AS BIGINT) AS touches
  FROM x_campaign_cell
  GROUP BY day_n, campaign_n
) AS t
JOIN x_campaign AS c ON c.campaign_n = t.campaign_n
