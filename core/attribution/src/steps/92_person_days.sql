-- What one person got and did at one number on one day. Reached: a message was delivered, or sent where the
-- platform never tells; converted: did what we want within the target window after that, or after inquiring.
SELECT day_n, platform, business_number, person,
  max(recipient) AS recipient,
  max(recipient) * min(CASE WHEN recipient = 1 THEN consented ELSE 1 END) AS consented,
  max(delivered) AS delivered,
  max(clicked) AS clicked,
  max(CASE WHEN reached_us IS NULL THEN 0 ELSE 1 END) AS reached,
  max(CASE WHEN inquired_us IS NULL THEN 0 ELSE 1 END) AS inquired,
  max(CASE WHEN target_us >= reached_us AND target_us <= reached_us + $target_us THEN 1 ELSE 0 END) AS reached_converted,
  max(CASE WHEN target_us >= inquired_us AND target_us <= inquired_us + $target_us THEN 1 ELSE 0 END) AS inquired_converted
FROM (
  SELECT f.day_n, f.platform, f.business_number, f.person, f.recipient, f.consented, f.delivered, f.clicked, f.reached_us,
    f.inquired_us, t.ts_us AS target_us
  FROM (
    SELECT day_n, platform, business_number, person, max(recipient) AS recipient,
      min(consented) AS consented, max(delivered) AS delivered, max(clicked) AS clicked, min(reached_us) AS reached_us,
      min(inquired_us) AS inquired_us
    FROM (
      SELECT
        CAST(round(CAST(m.sent_us - ((m.sent_us % 86400000000) + 86400000000) % 86400000000 AS DOUBLE)
    / CAST(86400000000 AS DOUBLE)) AS BIGINT) AS day_n,
        m.platform, coalesce(m.business_number, '') AS business_number, p.person,
        CASE WHEN m.sender_kind = 'broadcast' AND m.failed_us IS NULL THEN 1 ELSE 0 END AS recipient,
        CASE WHEN m.sender_kind = 'broadcast' AND m.failed_us IS NULL THEN coalesce(c.consented, 0) ELSE 1 END AS consented,
        CASE WHEN m.delivered_us IS NULL THEN 0 ELSE 1 END AS delivered,
        CASE WHEN m.clicked_us IS NULL THEN 0 ELSE 1 END AS clicked,
        CASE
          WHEN m.failed_us IS NOT NULL THEN NULL
          WHEN d.platform IS NULL THEN m.sent_us
          ELSE m.delivered_us
        END AS reached_us,
        CAST(NULL AS BIGINT) AS inquired_us
      FROM x_message AS m
      JOIN x_message_person AS p ON p.platform = m.platform AND p.message_id = m.message_id
      LEFT JOIN x_broadcast_consent AS c ON c.platform = m.platform AND c.message_id = m.message_id
      LEFT JOIN x_delivering AS d ON d.platform = m.platform
      WHERE m.direction = 'out' AND m.counts = 1
      UNION ALL
      SELECT day_n, platform, business_number, person, 0 AS recipient, 1 AS consented, 0 AS delivered, 0 AS clicked,
        CAST(NULL AS BIGINT) AS reached_us, ts_us AS inquired_us
      FROM x_inquiry_n
    ) AS u
    WHERE person IS NOT NULL
    GROUP BY day_n, platform, business_number, person
  ) AS f
  LEFT JOIN x_target AS t ON t.person = f.person
) AS j
GROUP BY day_n, platform, business_number, person
