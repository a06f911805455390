SELECT v.visit_id, v.day_n AS date, p.person_id, v.ts_us AS ts, v.account, v.token, v.ym_client_id, v.ga_client_id,
  v.source, v.medium, k.campaign_key, v.keyword, v.search_query, v.referrer, v.entrance_page, v.page_key,
  c.channel_id, v.traffic_type, v.yclid, v.gclid, v.fbclid, v.region, v.city, v.country, v.device, v.os,
  v.os_version, v.browser, v.screen, v.language, v.is_new_visitor, v.hits, v.duration_s
FROM x_visit AS v
LEFT JOIN x_window_match AS w ON w.visit_id = v.visit_id
LEFT JOIN x_person AS p ON p.person = coalesce(w.person, v.person)
LEFT JOIN (
  SELECT o.origin, c.channel_id FROM x_origin AS o JOIN x_channel AS c ON c.channel_n = o.channel_n
) AS c ON c.origin = v.origin
LEFT JOIN x_campaign AS k ON k.campaign_text = v.campaign_text
