-- Costs of a day that carry the same words.
SELECT CAST(row_number() OVER (ORDER BY r.day_n, r.campaign_text, r.source, r.medium, r.campaign, r.ad, r.keyword) AS BIGINT) AS cost_n,
  r.day_n, coalesce(k.campaign_n, 0) AS campaign_n, r.cost_minor, r.impressions, r.clicks,
  nullif(r.source, '') AS source, nullif(r.medium, '') AS medium, nullif(r.campaign, '') AS campaign,
  nullif(r.ad, '') AS ad, nullif(r.keyword, '') AS keyword
FROM (
  SELECT day_n, campaign_text, coalesce(source, '') AS source, coalesce(medium, '') AS medium,
    coalesce(campaign, '') AS campaign, coalesce(ad, '') AS ad, coalesce(keyword, '') AS keyword,
    CAST(sum(reported_minor) AS BIGINT) AS cost_minor,
    CAST(sum(coalesce(impressions, 0)) AS BIGINT) AS impressions,
    CAST(sum(coalesce(clicks, 0)) AS BIGINT) AS clicks
  FROM x_cost
  GROUP BY day_n, campaign_text, coalesce(source, ''), coalesce(medium, ''), coalesce(campaign, ''),
    coalesce(ad, ''), coalesce(keyword, '')
) AS r
LEFT JOIN x_campaign AS k ON k.campaign_text = r.campaign_text
