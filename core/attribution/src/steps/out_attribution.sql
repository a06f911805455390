SELECT c.conversion_id, m.model, a.pos AS touch_index, c.day_n AS date, t.touch_id, p.person_id,
  c.type AS conversion_type, c.ts_us AS conv_ts, t.ts_us AS touch_ts, h.channel_id, k.campaign_key, q.platform,
  a.n AS path_length, a.share AS credit, a.gross_minor AS gross, a.net_minor AS net, $params_hash AS params_hash
FROM x_credit AS a
JOIN x_reported AS c ON c.conv_n = a.conv_n
JOIN p_model AS m ON m.model_n = a.model_n
LEFT JOIN x_touch AS t ON t.touch_n = a.touch_n
JOIN x_channel AS h ON h.channel_n = coalesce(t.channel_n, 0)
LEFT JOIN x_campaign AS k ON k.campaign_n = t.campaign_n
LEFT JOIN x_person AS p ON p.person = c.person
LEFT JOIN x_deal_inquiry AS i ON i.deal_id = c.deal_id
LEFT JOIN x_inquiry AS q ON q.inquiry_id = i.inquiry_id
