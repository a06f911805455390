-- Where a deal's own fields say it came from, for people without any touch in the look-back.
SELECT 'deal:' || d.deal_id AS touch_id, 'deal' AS kind, d.person, d.created_us AS ts_us,
  CAST(NULL AS VARCHAR) AS visit_id, CAST(NULL AS VARCHAR) AS platform, CAST(NULL AS VARCHAR) AS message_id,
  CAST(NULL AS VARCHAR) AS channel, CAST(NULL AS VARCHAR) AS keyword, CAST(NULL AS VARCHAR) AS page_key,
  CAST(NULL AS VARCHAR) AS region,
  'deal' || $sep || coalesce(d.source, '') || $sep || coalesce(d.medium, '') || $sep || coalesce(d.campaign, '')
    || $sep || $sep || $sep AS origin,
  $sep || $sep || $sep || coalesce(d.campaign, '') || $sep || $sep || $sep || $sep || $sep
    || coalesce(d.medium, '') || $sep || coalesce(d.source, '') AS campaign_text
FROM x_deal AS d
LEFT JOIN (
  SELECT DISTINCT d.deal_id
  FROM x_deal AS d
  JOIN x_touch_raw AS t ON t.person = d.person
  WHERE t.ts_us >= d.created_us - $lookback_us AND t.ts_us <= d.created_us
    AND (d.source IS NOT NULL OR d.campaign IS NOT NULL)
) AS seen ON seen.deal_id = d.deal_id
WHERE seen.deal_id IS NULL AND d.person IS NOT NULL AND $deal_source_touches
  AND (d.source IS NOT NULL OR d.campaign IS NOT NULL)
