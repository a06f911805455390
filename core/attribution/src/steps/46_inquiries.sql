-- One line per inquiry, from its messages.
SELECT inquiry_id,
  max(platform) AS platform,
  max(conversation_id) AS conversation_id,
  max(CASE WHEN rn = opener_rn THEN person END) AS person,
  max(CASE WHEN rn = opener_rn THEN ts_us END) AS ts_us,
  max(ts_us) AS last_us,
  max(CASE WHEN rn = opener_rn THEN text END) AS first_text,
  max(CASE WHEN rn = opener_rn THEN message_id END) AS first_message_id,
  max(CASE WHEN rn = opener_rn THEN token_state END) AS opener_token_state,
  coalesce(max(CASE WHEN rn = opener_rn THEN business_number END), max(business_number)) AS business_number,
  max(user_id) AS user_id,
  max(user_type) AS user_type,
  max(user_value) AS user_value,
  max(phone_e164) AS phone_e164,
  max(contact_name) AS contact_name,
  max(username) AS username,
  max(CASE WHEN rn = token_rn THEN token END) AS token,
  max(CASE WHEN rn = token_rn THEN token_visit END) AS token_visit,
  max(CASE WHEN rn = token_rn THEN token_state END) AS matched_token_state,
  max(CASE WHEN rn = token_rn THEN CASE WHEN link_ref IS NULL THEN 0 ELSE 1 END END) AS token_hidden,
  max(CASE WHEN rn = link_rn THEN message_id END) AS link_message_id,
  max(CASE WHEN rn = ad_rn THEN message_id END) AS ad_message_id,
  max(CASE WHEN rn = operator_rn THEN operator_id END) AS operator_id,
  max(CASE WHEN rn = csat_rn THEN csat END) AS csat,
  max(CASE WHEN rn = last_word_rn THEN direction END) AS last_word,
  max(CASE WHEN rn = last_word_rn AND direction = 'out'
    AND substr(trim(text), length(trim(text)), 1) IN ('?', '؟') THEN 1 ELSE 0 END) AS asked,
  max(CASE WHEN csat IS NOT NULL OR (direction = 'in' AND kind = 'review') THEN 1 ELSE 0 END) AS has_feedback,
  min(CASE WHEN is_answer = 1 THEN ts_us END) AS answer_us,
  min(CASE WHEN rn = operator_rn THEN ts_us END) AS operator_us,
  sum(CASE WHEN direction = 'in' THEN 1 ELSE 0 END) AS n_in,
  sum(CASE WHEN direction = 'out' THEN 1 ELSE 0 END) AS n_out,
  sum(CASE WHEN direction = 'out' AND sender_kind = 'bot' THEN 1 ELSE 0 END) AS n_bot,
  sum(CASE WHEN direction = 'out' AND sender_kind = 'operator' THEN 1 ELSE 0 END) AS n_operator,
  max(CASE WHEN bot_handover THEN 1 ELSE 0 END) AS handover,
  CASE WHEN min(CASE WHEN direction = 'out' AND sender_kind = 'operator' THEN operator_id END)
    <> max(CASE WHEN direction = 'out' AND sender_kind = 'operator' THEN operator_id END) THEN 1 ELSE 0 END AS transferred
FROM (
  SELECT q.inquiry_id, q.rn, q.opener_rn, m.platform, m.conversation_id, m.message_id, p.person, m.ts_us, m.text,
    m.token, m.token_state, m.link_ref, m.business_number, m.user_id, m.user_type, m.user_value, m.phone_e164,
    m.contact_name, m.username, m.operator_id, m.csat, m.direction, m.sender_kind, m.kind, m.bot_handover,
    v.visit_id AS token_visit,
    CASE WHEN m.direction = 'out' AND m.sender_kind <> 'broadcast' THEN 1 ELSE 0 END AS is_answer,
    k.token_rn, k.link_rn, k.ad_rn, k.operator_rn, k.csat_rn, k.last_word_rn
  FROM x_message_inquiry AS q
  JOIN x_message AS m ON m.platform = q.platform AND m.message_id = q.message_id
  JOIN x_message_person AS p ON p.platform = q.platform AND p.message_id = q.message_id
  JOIN x_inquiry_mark AS k ON k.inquiry_id = q.inquiry_id
  LEFT JOIN x_token_visit AS v ON v.token = m.token
) AS r
GROUP BY inquiry_id
