-- Which message of an inquiry is the one with its token, its link, its ad, its operator, its rating, its last word.
SELECT q.inquiry_id,
  min(CASE WHEN u.token IS NOT NULL AND v.visit_id IS NOT NULL AND m.direction = 'in' THEN q.rn END) AS token_rn,
  min(CASE WHEN m.direction = 'in' AND m.link_ref IS NOT NULL AND m.has_ad = 0 AND (u.token IS NULL OR v.visit_id IS NULL) THEN q.rn END) AS link_rn,
  min(CASE WHEN m.direction = 'in' AND m.has_ad = 1 THEN q.rn END) AS ad_rn,
  min(CASE WHEN m.direction = 'out' AND m.sender_kind = 'operator' THEN q.rn END) AS operator_rn,
  max(CASE WHEN m.csat IS NOT NULL THEN q.rn END) AS csat_rn,
  max(CASE WHEN m.direction = 'out' AND m.sender_kind = 'broadcast' THEN NULL ELSE q.rn END) AS last_word_rn
FROM x_message_inquiry AS q
JOIN x_message AS m ON m.platform = q.platform AND m.message_id = q.message_id
LEFT JOIN x_token_visit AS v ON v.token = m.token
LEFT JOIN x_token_user AS u
  ON u.token = m.token AND u.user_type = m.user_type AND u.user_value = m.user_value
GROUP BY q.inquiry_id
