-- Inquiries with what is decided by comparing them: the person's first, the one before, open or closed.
SELECT q.inquiry_id, q.platform, q.conversation_id, q.person, q.ts_us,
  CAST(round(CAST(q.ts_us - ((q.ts_us % 86400000000) + 86400000000) % 86400000000 AS DOUBLE)
    / CAST(86400000000 AS DOUBLE)) AS BIGINT) AS day_n,
  CASE WHEN q.last_us + $gap_us <= $now_us THEN q.last_us + $gap_us END AS closed_us,
  q.first_text, q.opener_token_state, q.matched_token_state, coalesce(q.business_number, '') AS business_number,
  q.user_id, q.phone_e164, q.contact_name, q.username, q.operator_id, q.csat, q.n_in, q.n_out, q.n_bot, q.n_operator,
  CASE WHEN q.n_bot > 0 THEN 1 ELSE 0 END AS with_bot,
  CASE WHEN q.n_bot > 0 AND (q.n_operator > 0 OR q.handover = 1) THEN 1 ELSE 0 END AS escalated,
  -- A question of ours that nobody answered and a scenario left half-way are no end.
  CASE WHEN q.last_us + $gap_us <= $now_us AND q.last_word = 'out' AND q.asked = 0 AND w.inquiry_id IS NULL
    THEN 1 ELSE 0 END AS resolved,
  CASE WHEN q.last_us + $gap_us <= $now_us AND (q.answer_us IS NULL OR q.asked = 1 OR w.inquiry_id IS NOT NULL)
    THEN 1 ELSE 0 END AS abandoned,
  q.has_feedback, q.transferred,
  CASE WHEN q.last_us + $gap_us <= $now_us AND q.answer_us IS NULL THEN 1 ELSE 0 END AS missed,
  CAST(round(CAST(q.answer_us - q.ts_us - (q.answer_us - q.ts_us) % 1000000 AS DOUBLE) / CAST(1000000 AS DOUBLE)) AS BIGINT) AS answer_s,
  CAST(round(CAST(q.operator_us - q.ts_us - (q.operator_us - q.ts_us) % 1000000 AS DOUBLE) / CAST(1000000 AS DOUBLE)) AS BIGINT) AS operator_s,
  r.open_s AS answer_open_s,
  CAST(row_number() OVER (PARTITION BY q.person ORDER BY q.ts_us, q.inquiry_id) AS BIGINT) AS inquiry_number,
  lag(q.inquiry_id) OVER (PARTITION BY q.person ORDER BY q.ts_us, q.inquiry_id) AS previous_inquiry_id,
  m.match_method, m.touch_n, coalesce(t.channel_n, 0) AS channel_n
FROM x_inquiry AS q
JOIN x_match AS m ON m.inquiry_id = q.inquiry_id
LEFT JOIN x_touch AS t ON t.touch_n = m.touch_n
LEFT JOIN (
  -- The first turn of an inquiry is its first response.
  SELECT i.inquiry_id, min(r.response_open_s) AS open_s
  FROM x_response AS r
  JOIN x_inquiry AS i ON i.inquiry_id = r.inquiry_id AND i.ts_us = r.started_us
  GROUP BY i.inquiry_id
) AS r ON r.inquiry_id = q.inquiry_id
LEFT JOIN (
  SELECT DISTINCT i.inquiry_id
  FROM x_walk AS w
  JOIN x_inquiry AS i ON i.platform = w.platform AND i.conversation_id = w.conversation_id
  WHERE w.passed = 0 AND w.escalated = 0 AND w.entered_us >= i.ts_us AND w.entered_us < i.last_us + $gap_us
) AS w ON w.inquiry_id = q.inquiry_id
