-- Cost rows with the words their visits probably carry where the row itself has none.
SELECT r.day_n, r.system, r.cost_kind, r.currency, r.cost_minor, r.impressions, r.clicks, r.campaign_id, r.campaign,
  r.ad, r.keyword, r.source, r.medium, r.is_nameless, r.campaign_text,
  'cost' || $sep || coalesce(r.source, '') || $sep || coalesce(r.medium, '') || $sep || coalesce(r.campaign, '')
    || $sep || CASE WHEN r.cost_kind = 'media' THEN 'ad' ELSE '' END || $sep || $sep AS origin
FROM (
  SELECT day_n, system, coalesce(cost_kind, 'media') AS cost_kind, upper(trim(currency)) AS currency, cost_minor,
    impressions, clicks, campaign_id, campaign, ad, keyword,
    coalesce(source, CASE system
      WHEN 'yandex_direct' THEN 'yandex'
      WHEN 'google_ads' THEN 'google'
      WHEN 'vk_ads' THEN 'vk'
      WHEN 'meta_ads' THEN 'meta'
      WHEN 'telegram_ads' THEN 'telegram'
    END) AS source,
    coalesce(medium, CASE WHEN coalesce(cost_kind, 'media') = 'media' THEN 'cpc' END) AS medium,
    CASE WHEN coalesce(cost_kind, 'media') <> 'media' AND source IS NULL AND medium IS NULL
      AND campaign IS NULL AND campaign_id IS NULL THEN 1 ELSE 0 END AS is_nameless,
    coalesce(system, '') || $sep || coalesce(account, '') || $sep || coalesce(campaign_id, '') || $sep
      || coalesce(campaign, '') || $sep || coalesce(adgroup_id, '') || $sep || coalesce(ad_id, '') || $sep
      || coalesce(ad, '') || $sep || coalesce(keyword, '') || $sep || coalesce(medium, '') || $sep
      || coalesce(source, '') AS campaign_text
  FROM c_costs
) AS r
