-- Touches of all kinds before their channels are named.
SELECT 'visit:' || visit_id AS touch_id, 'visit' AS kind, person, ts_us, visit_id,
  CAST(NULL AS VARCHAR) AS platform, CAST(NULL AS VARCHAR) AS message_id, CAST(NULL AS VARCHAR) AS channel,
  keyword, page_key, region, origin, campaign_text
FROM x_visit
UNION ALL
SELECT 'ad:' || m.platform || ':' || m.message_id AS touch_id, 'ad_referral' AS kind, m.person, m.ts_us,
  CAST(NULL AS VARCHAR) AS visit_id, m.platform, m.message_id, CAST(NULL AS VARCHAR) AS channel,
  m.keyword, CAST(NULL AS VARCHAR) AS page_key, CAST(NULL AS VARCHAR) AS region,
  'ad_referral' || $sep || m.source || $sep || m.medium || $sep || coalesce(m.campaign, '') || $sep
    || $sep || CASE WHEN m.ctwa_clid IS NULL THEN '' ELSE 'ctwa_clid,' END || $sep AS origin,
  coalesce(m.system, '') || $sep || coalesce(m.account, '') || $sep || coalesce(m.campaign_id, '') || $sep
    || coalesce(m.campaign, '') || $sep || coalesce(m.adgroup_id, '') || $sep || coalesce(m.ad_id, '') || $sep
    || coalesce(m.ad, '') || $sep || $sep || m.medium || $sep || m.source AS campaign_text
FROM (
  SELECT m.platform, m.message_id, p.person, m.ts_us, m.ctwa_clid, m.ad_id,
    d.system, d.account, d.campaign_id, d.campaign, d.adgroup_id, coalesce(d.ad, m.ad_headline) AS ad,
    CAST(NULL AS VARCHAR) AS keyword,
    coalesce(d.source, CASE WHEN m.platform IN ('whatsapp', 'facebook', 'instagram') THEN 'meta' ELSE m.platform END) AS source,
    CASE WHEN m.ad_post = 1 THEN 'social' ELSE coalesce(d.medium, 'cpc') END AS medium
  FROM x_message AS m
  JOIN x_message_person AS p ON p.platform = m.platform AND p.message_id = m.message_id
  LEFT JOIN x_ad AS d ON d.ad_id = m.ad_id
  WHERE m.direction = 'in' AND m.has_ad = 1 AND m.counts = 1
) AS m
UNION ALL
SELECT 'link:' || m.platform || ':' || m.message_id AS touch_id, 'deeplink' AS kind, p.person, m.ts_us,
  CAST(NULL AS VARCHAR) AS visit_id, m.platform, m.message_id,
  CAST(NULL AS VARCHAR) AS channel, CAST(NULL AS VARCHAR) AS keyword, CAST(NULL AS VARCHAR) AS page_key,
  CAST(NULL AS VARCHAR) AS region,
  'deeplink' || $sep || m.platform || $sep || 'deeplink' || $sep
    || CASE WHEN m.token IS NULL AND coalesce(m.token_state, 'missing') = 'missing' THEN m.link_ref ELSE '' END
    || $sep || $sep || $sep AS origin,
  $sep || $sep || $sep
    || CASE WHEN m.token IS NULL AND coalesce(m.token_state, 'missing') = 'missing' THEN m.link_ref ELSE '' END
    || $sep || $sep || $sep || $sep || $sep || 'deeplink' || $sep || m.platform AS campaign_text
FROM x_message AS m
JOIN x_message_person AS p ON p.platform = m.platform AND p.message_id = m.message_id
LEFT JOIN x_token_visit AS v ON v.token = m.token
LEFT JOIN x_token_user AS u
  ON u.token = m.token AND u.user_type = m.user_type AND u.user_value = m.user_value
WHERE m.direction = 'in' AND m.link_ref IS NOT NULL AND m.has_ad = 0 AND m.counts = 1
  AND (u.token IS NULL OR v.visit_id IS NULL)
UNION ALL
SELECT 'broadcast:' || m.platform || ':' || m.message_id AS touch_id, 'broadcast' AS kind, m.person, m.touch_us AS ts_us,
  CAST(NULL AS VARCHAR) AS visit_id, m.platform, m.message_id,
  CAST(NULL AS VARCHAR) AS channel, CAST(NULL AS VARCHAR) AS keyword, CAST(NULL AS VARCHAR) AS page_key,
  CAST(NULL AS VARCHAR) AS region,
  'broadcast' || $sep || m.platform || $sep || 'broadcast' || $sep || coalesce(m.template_id, '')
    || $sep || $sep || $sep AS origin,
  $sep || $sep || $sep || coalesce(m.template_id, '') || $sep || $sep || $sep || $sep || $sep
    || 'broadcast' || $sep || m.platform AS campaign_text
FROM (
  SELECT m.platform, m.message_id, p.person, m.template_id,
    CASE
      WHEN $broadcast_touches = 'clicked' THEN m.clicked_us
      WHEN m.delivered_us IS NOT NULL THEN m.delivered_us
      -- A platform that never reports delivery: sent is all that can be known.
      WHEN r.platform IS NULL THEN m.sent_us
    END AS touch_us
  FROM x_message AS m
  JOIN x_message_person AS p ON p.platform = m.platform AND p.message_id = m.message_id
  LEFT JOIN x_delivering AS r ON r.platform = m.platform
  WHERE m.sender_kind = 'broadcast' AND m.direction = 'out' AND m.counts = 1 AND m.failed_us IS NULL
    AND $broadcast_touches <> 'none'
) AS m
WHERE m.touch_us IS NOT NULL AND m.person IS NOT NULL
UNION ALL
SELECT t.touch_id, coalesce(t.kind, 'prepared') AS kind, p.person, t.ts_us,
  CAST(NULL AS VARCHAR) AS visit_id, CAST(NULL AS VARCHAR) AS platform, CAST(NULL AS VARCHAR) AS message_id,
  t.channel, t.keyword, t.page_host || t.page_path AS page_key, CAST(NULL AS VARCHAR) AS region,
  coalesce(t.kind, 'prepared') || $sep || coalesce(t.source, '') || $sep || coalesce(t.medium, '') || $sep
    || coalesce(t.campaign, '') || $sep || $sep || $sep AS origin,
  $sep || $sep || $sep || coalesce(t.campaign, '') || $sep || $sep || $sep || coalesce(t.ad, '') || $sep
    || coalesce(t.keyword, '') || $sep || coalesce(t.medium, '') || $sep || coalesce(t.source, '') AS campaign_text
FROM c_touches AS t
JOIN x_prepared_person AS p ON p.person_id = t.person_id
