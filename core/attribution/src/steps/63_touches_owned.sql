-- A visit matched by time belongs to who wrote.
SELECT t.touch_n, t.touch_id, t.kind, coalesce(w.person, t.person) AS person, t.ts_us, t.day_n, t.visit_id, t.platform,
  t.message_id, t.keyword, t.page_key, t.region, t.channel_n, t.campaign_n
FROM x_touch AS t
LEFT JOIN x_window_match AS w ON w.visit_id = t.visit_id AND t.kind = 'visit'
