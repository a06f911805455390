-- Credit in words. What is said of a conversion and of a touch is put together before it meets the credits, which
-- are many times as many.
SELECT c.conversion_id, m.model, a.pos AS touch_index, c.day_n AS date, t.touch_id, c.person_id,
  c.type AS conversion_type, c.ts_us AS conv_ts, t.ts_us AS touch_ts, coalesce(t.channel_id, '(none)') AS channel_id,
  t.campaign_key, c.platform, a.n AS path_length, a.share AS credit, a.gross_minor AS gross, a.net_minor AS net,
  $params_hash AS params_hash
FROM x_credit AS a
LEFT JOIN p_model AS m ON m.model_n = a.model_n
LEFT JOIN (
  SELECT c.conv_n, c.conversion_id, c.day_n, c.type, c.ts_us, p.person_id, q.platform
  FROM x_reported AS c
  LEFT JOIN x_person AS p ON p.person = c.person
  LEFT JOIN x_deal_inquiry AS i ON i.deal_id = c.deal_id
  LEFT JOIN x_inquiry AS q ON q.inquiry_id = i.inquiry_id
) AS c ON c.conv_n = a.conv_n
LEFT JOIN (
  SELECT t.touch_n, t.touch_id, t.ts_us, h.channel_id, k.campaign_key
  FROM x_touch AS t
  JOIN (SELECT DISTINCT touch_n FROM x_path) AS u ON u.touch_n = t.touch_n
  LEFT JOIN x_channel AS h ON h.channel_n = t.channel_n
  LEFT JOIN x_campaign AS k ON k.campaign_n = t.campaign_n
) AS t ON t.touch_n = a.touch_n
