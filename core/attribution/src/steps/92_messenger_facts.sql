-- One line per message, inquiry, turn and opt-out, ready to be counted by day and number.
SELECT
  CAST(round(CAST(m.sent_us - ((m.sent_us % 86400000000) + 86400000000) % 86400000000 AS DOUBLE)
    / CAST(86400000000 AS DOUBLE)) AS BIGINT) AS day_n,
  m.platform, coalesce(m.business_number, '') AS business_number,
  1 AS sent,
  CASE WHEN m.delivered_us IS NULL THEN 0 ELSE 1 END AS delivered,
  CASE WHEN m.read_us IS NULL THEN 0 ELSE 1 END AS was_read,
  CASE WHEN m.failed_us IS NULL THEN 0 ELSE 1 END AS failed,
  CASE WHEN m.sender_kind = 'broadcast' AND m.failed_us IS NULL THEN 1 ELSE 0 END AS broadcasts,
  CASE WHEN m.sender_kind = 'broadcast' AND m.delivered_us IS NOT NULL THEN 1 ELSE 0 END AS broadcasts_delivered,
  CASE WHEN m.sender_kind = 'broadcast' AND m.failed_us IS NULL AND a.message_id IS NOT NULL THEN 1 ELSE 0 END AS replied,
  0 AS inquiries, 0 AS is_new, 0 AS missed, 0 AS answered, CAST(0 AS BIGINT) AS first_response_s, 0 AS turns,
  CAST(0 AS BIGINT) AS response_s, CAST(0 AS BIGINT) AS csat_sum, 0 AS csat_n, 0 AS unsubscribes, 0 AS with_bot,
  0 AS contained, 0 AS escalated
FROM x_message AS m
LEFT JOIN (
  SELECT DISTINCT b.platform, b.message_id
  FROM x_message AS b
  JOIN x_message AS r ON r.platform = b.platform AND r.conversation_id = b.conversation_id
  WHERE b.sender_kind = 'broadcast' AND b.direction = 'out' AND r.direction = 'in' AND r.counts = 1
    AND r.is_unsubscribe = 0 AND r.ts_us >= b.sent_us AND r.ts_us <= b.sent_us + $response_us
) AS a ON a.platform = m.platform AND a.message_id = m.message_id
WHERE m.direction = 'out' AND m.counts = 1
UNION ALL
SELECT q.day_n, q.platform, q.business_number, 0, 0, 0, 0, 0, 0, 0,
  1, CASE WHEN q.inquiry_number = 1 THEN 1 ELSE 0 END, q.missed,
  CASE WHEN q.answer_s IS NULL THEN 0 ELSE 1 END, coalesce(q.answer_s, 0), 0, CAST(0 AS BIGINT),
  coalesce(q.csat, 0), CASE WHEN q.csat IS NULL THEN 0 ELSE 1 END, 0, q.with_bot,
  CASE WHEN q.with_bot = 1 AND q.resolved = 1 AND q.escalated = 0 THEN 1 ELSE 0 END, q.escalated
FROM x_inquiry_n AS q
UNION ALL
SELECT q.day_n, q.platform, q.business_number, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, CAST(0 AS BIGINT), 1,
  CAST(round(CAST(t.answered_us - t.started_us - (t.answered_us - t.started_us) % 1000000 AS DOUBLE) / CAST(1000000 AS DOUBLE)) AS BIGINT),
  CAST(0 AS BIGINT), 0, 0, 0, 0, 0
FROM x_turn AS t
JOIN x_inquiry_n AS q ON q.inquiry_id = t.inquiry_id
UNION ALL
SELECT u.day_n, u.platform, u.business_number, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, CAST(0 AS BIGINT), 0,
  CAST(0 AS BIGINT), CAST(0 AS BIGINT), 0, 1, 0, 0, 0
FROM (
  SELECT day_n, platform, user_value, max(business_number) AS business_number
  FROM (
    SELECT
      CAST(round(CAST(m.ts_us - ((m.ts_us % 86400000000) + 86400000000) % 86400000000 AS DOUBLE)
        / CAST(86400000000 AS DOUBLE)) AS BIGINT) AS day_n,
      m.platform, m.user_value, coalesce(m.business_number, '') AS business_number
    FROM x_message AS m
    WHERE m.is_unsubscribe = 1 AND m.counts = 1
    UNION ALL
    SELECT c.ts_day AS day_n, c.platform, c.user_id AS user_value, '' AS business_number
    FROM c_consents AS c
    WHERE c.action = 'opt_out'
  ) AS e
  GROUP BY day_n, platform, user_value
) AS u
