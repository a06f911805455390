SELECT q.inquiry_id, q.day_n AS date, p.person_id, q.conversation_id, q.platform,
  nullif(q.business_number, '') AS business_number, q.ts_us AS ts, q.closed_us AS closed_ts, q.first_text,
  t.visit_id, t.touch_id, q.match_method,
  CASE WHEN q.match_method IN ('token', 'deeplink') THEN coalesce(q.matched_token_state, q.opener_token_state)
    ELSE q.opener_token_state END AS token_state,
  c.channel_id, v.traffic_type, k.source, k.medium, k.campaign_key, k.ad, t.keyword, t.page_key,
  coalesce(q.contact_name, r.name) AS contact_name,
  coalesce(q.phone_e164, r.phone_e164) AS phone_e164,
  r.email,
  q.user_id AS messenger_user_id, q.username,
  coalesce(d.tags, r.tags) AS tags,
  CASE WHEN q.inquiry_number = 1 THEN true ELSE false END AS is_new,
  q.inquiry_number, q.previous_inquiry_id,
  v.region, v.city, v.device, v.os, v.screen, v.language,
  coalesce(q.operator_id, d.operator_id) AS operator_id,
  q.answer_s AS first_response_s, q.answer_open_s AS first_response_working_s, q.operator_s AS first_operator_response_s, q.n_in, q.n_out,
  CASE
    WHEN q.n_bot > 0 AND q.n_operator > 0 THEN 'both'
    WHEN q.n_bot > 0 THEN 'bot'
    WHEN q.n_operator > 0 THEN 'operator'
    ELSE 'none'
  END AS handled_by,
  CASE WHEN q.escalated = 1 THEN true ELSE false END AS escalated,
  CASE WHEN q.resolved = 1 THEN true ELSE false END AS resolved,
  CASE WHEN q.missed = 1 THEN true ELSE false END AS missed,
  CASE WHEN q.abandoned = 1 THEN true ELSE false END AS abandoned,
  CASE WHEN q.transferred = 1 THEN true ELSE false END AS transferred,
  q.csat, CASE WHEN q.has_feedback = 1 THEN true ELSE false END AS has_feedback,
  d.lead_id AS crm_lead_id, d.deal_id AS crm_deal_id, d.status AS deal_status, d.value_minor AS deal_value
FROM x_inquiry_n AS q
LEFT JOIN x_person AS p ON p.person = q.person
LEFT JOIN x_touch AS t ON t.touch_n = q.touch_n
JOIN x_channel AS c ON c.channel_n = q.channel_n
LEFT JOIN x_campaign AS k ON k.campaign_n = t.campaign_n
LEFT JOIN x_visit AS v ON v.visit_id = t.visit_id
LEFT JOIN x_inquiry_deal AS d ON d.inquiry_id = q.inquiry_id
LEFT JOIN x_person_contact AS pc ON pc.person = q.person
LEFT JOIN c_contacts AS r ON r.contact_id = coalesce(d.contact_id, pc.contact_id)
