SELECT r.day_n AS date, r.system, k.campaign_key, r.cost_kind, r.currency, h.channel_id,
  r.joined_level, r.impressions, r.clicks, r.reported_minor AS cost, r.cost_minor AS cost_original_minor
FROM (
  SELECT day_n, system, campaign_text, cost_kind, currency, max(channel_n) AS channel_n,
    max(joined_level) AS joined_level, sum(impressions) AS impressions, sum(clicks) AS clicks,
    sum(reported_minor) AS reported_minor, sum(cost_minor) AS cost_minor
  FROM x_cost
  GROUP BY day_n, system, campaign_text, cost_kind, currency
) AS r
LEFT JOIN x_campaign AS k ON k.campaign_text = r.campaign_text
JOIN x_channel AS h ON h.channel_n = r.channel_n
