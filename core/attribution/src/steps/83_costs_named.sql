-- Costs in the reporting currency, in the words of the touches they paid for, and in their channel.
SELECT r.day_n, r.system, r.cost_kind, r.currency, r.cost_minor, r.impressions, r.clicks, r.campaign_text,
  CASE
    WHEN r.cost_minor = 0 THEN CAST(0 AS BIGINT)
    WHEN r.currency = $reporting THEN r.cost_minor
    ELSE CAST(CAST(CAST(r.cost_minor AS DECIMAL(16,0)) * f.rate AS DECIMAL(26,0)) AS BIGINT)
  END AS reported_minor,
  lower(coalesce(CASE WHEN w.channel_n IS NULL THEN i.source END, r.source)) AS source,
  lower(coalesce(CASE WHEN w.channel_n IS NULL THEN i.medium END, r.medium)) AS medium,
  lower(coalesce(CASE WHEN w.channel_n IS NULL THEN i.campaign END, r.campaign)) AS campaign,
  lower(r.ad) AS ad,
  lower(r.keyword) AS keyword,
  CASE WHEN r.is_nameless = 1 THEN 0 ELSE coalesce(w.channel_n, i.channel_n, o.channel_n) END AS channel_n
FROM x_cost_raw AS r
LEFT JOIN x_origin AS o ON o.origin = r.origin
LEFT JOIN x_named_campaign AS w
  ON w.source = lower(r.source) AND w.medium = lower(r.medium) AND w.campaign = lower(r.campaign)
LEFT JOIN x_numbered_campaign AS i ON i.campaign_id = r.campaign_id
LEFT JOIN p_rate AS f ON f.currency = r.currency AND f.day_n = r.day_n
