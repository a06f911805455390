SELECT m.platform, m.message_id,
  CAST(round(CAST(m.ts_us - ((m.ts_us % 86400000000) + 86400000000) % 86400000000 AS DOUBLE)
    / CAST(86400000000 AS DOUBLE)) AS BIGINT) AS date,
  m.conversation_id, q.inquiry_id, p.person_id, m.direction, m.sender_kind, m.operator_id, m.kind,
  m.is_event, CASE WHEN m.is_unsubscribe = 1 THEN true ELSE false END AS is_unsubscribe, m.text, m.business_number,
  m.user_id, m.token, m.token_state, m.template_id, m.ab_test, m.ab_variant, m.ts_us AS ts, m.sent_us AS sent_at,
  m.delivered_us AS delivered_at, m.read_us AS read_at, m.failed_us AS failed_at,
  CASE WHEN m.failed_us IS NULL THEN NULL ELSE m.failed_code END AS failed_code, m.clicked_us AS clicked_at,
  m.price_category,
  CASE
    WHEN m.price IS NULL THEN NULL
    WHEN coalesce(upper(trim(m.price_currency)), $reporting) = $reporting
      THEN CAST(CAST(CAST(m.price AS DECIMAL(16,6)) * CAST($units_per_one AS DECIMAL(4,0)) AS DECIMAL(20,0)) AS BIGINT)
    ELSE CAST(CAST(CAST(m.price AS DECIMAL(16,6)) * f.unit_rate AS DECIMAL(22,0)) AS BIGINT)
  END AS price,
  CASE WHEN b.consented IS NULL THEN NULL WHEN b.consented = 1 THEN true ELSE false END AS has_consent
FROM x_message AS m
JOIN x_message_person AS i ON i.platform = m.platform AND i.message_id = m.message_id
LEFT JOIN x_message_inquiry AS q ON q.platform = m.platform AND q.message_id = m.message_id
LEFT JOIN x_person AS p ON p.person = i.person
LEFT JOIN x_broadcast_consent AS b ON b.platform = m.platform AND b.message_id = m.message_id
LEFT JOIN p_rate AS f ON f.currency = upper(trim(m.price_currency))
  AND f.day_n = CAST(round(CAST(m.ts_us - ((m.ts_us % 86400000000) + 86400000000) % 86400000000 AS DOUBLE)
    / CAST(86400000000 AS DOUBLE)) AS BIGINT)
