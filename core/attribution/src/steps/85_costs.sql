-- Costs with the finest level at which touches of their day match.
SELECT r.day_n, r.system, r.cost_kind, r.currency, r.campaign_text, r.channel_n, r.cost_minor, r.reported_minor,
  r.impressions, r.clicks, r.source, r.medium, r.campaign, r.ad, r.keyword,
  CASE
    WHEN k.day_n IS NOT NULL THEN 'keyword'
    WHEN a.day_n IS NOT NULL THEN 'ad'
    WHEN c.day_n IS NOT NULL THEN 'campaign'
    WHEN s.day_n IS NOT NULL THEN 'source'
    ELSE 'none'
  END AS joined_level
FROM x_cost_named AS r
LEFT JOIN (SELECT DISTINCT day_n, source, medium, campaign, keyword FROM x_touch_day WHERE keyword IS NOT NULL) AS k
  ON k.day_n = r.day_n AND k.source = r.source AND k.medium = r.medium AND k.campaign = r.campaign
  AND k.keyword = r.keyword
LEFT JOIN (SELECT DISTINCT day_n, source, medium, campaign, ad FROM x_touch_day WHERE ad IS NOT NULL) AS a
  ON a.day_n = r.day_n AND a.source = r.source AND a.medium = r.medium AND a.campaign = r.campaign AND a.ad = r.ad
LEFT JOIN (SELECT DISTINCT day_n, source, medium, campaign FROM x_touch_day WHERE campaign IS NOT NULL) AS c
  ON c.day_n = r.day_n AND c.source = r.source AND c.medium = r.medium AND c.campaign = r.campaign
LEFT JOIN (SELECT DISTINCT day_n, source, medium FROM x_touch_day WHERE source IS NOT NULL) AS s
  ON s.day_n = r.day_n AND s.source = r.source AND s.medium = r.medium
