SELECT t.touch_id, t.day_n AS date, p.person_id, t.ts_us AS ts, t.kind, t.visit_id, t.platform, t.message_id,
  c.channel_id, k.campaign_key, t.keyword, t.page_key
FROM x_touch AS t
LEFT JOIN x_person AS p ON p.person = t.person
LEFT JOIN x_channel AS c ON c.channel_n = t.channel_n
LEFT JOIN x_campaign AS k ON k.campaign_n = t.campaign_n
