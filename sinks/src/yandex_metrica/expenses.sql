-- Costs by day and marks of the links. Those of Yandex Direct are in Metrica already.
SELECT CAST(c.date AS VARCHAR) || '|' || coalesce(k.source, '') || '|' || coalesce(k.medium, '') || '|' || coalesce(k.campaign, '')
    || '|' || coalesce(k.ad, '') || '|' || coalesce(k.keyword, '') || '|' || c.currency AS id,
  c.date AS day, k.source, k.medium, k.campaign, k.ad AS content, k.keyword AS term, c.currency,
  CAST(sum(c.cost_original_minor) AS BIGINT) AS cost_minor, CAST(sum(c.clicks) AS BIGINT) AS clicks
FROM costs AS c
LEFT JOIN dim_campaign AS k ON k.campaign_key = c.campaign_key
WHERE c.system <> 'yandex_direct' AND c.cost_kind = 'media'
GROUP BY c.date, k.source, k.medium, k.campaign, k.ad, k.keyword, c.currency
