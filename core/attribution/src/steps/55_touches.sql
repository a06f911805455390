-- Touches numbered in the one order that counts: instant, then id. From here on a touch is a number.
SELECT CAST(row_number() OVER (ORDER BY t.ts_us, t.touch_id) AS BIGINT) AS touch_n,
  t.touch_id, t.kind, t.person, t.ts_us,
  CAST(round(CAST(t.ts_us - ((t.ts_us % 86400000000) + 86400000000) % 86400000000 AS DOUBLE)
    / CAST(86400000000 AS DOUBLE)) AS BIGINT) AS day_n,
  t.visit_id, t.platform, t.message_id, t.keyword, t.page_key, t.region,
  coalesce(g.channel_n, o.channel_n) AS channel_n,
  c.campaign_n
FROM x_touch_all AS t
LEFT JOIN x_origin AS o ON o.origin = t.origin
LEFT JOIN x_channel AS g ON g.channel_id = t.channel
LEFT JOIN x_campaign AS c ON c.campaign_text = t.campaign_text
