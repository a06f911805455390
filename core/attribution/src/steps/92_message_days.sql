-- Outgoing messages by the day they were sent.
SELECT m.day_n, m.platform, m.business_number,
  CAST(count(*) AS BIGINT) AS sent,
  CAST(sum(m.delivered) AS BIGINT) AS delivered,
  CAST(sum(m.was_read) AS BIGINT) AS was_read,
  CAST(sum(CASE WHEN r.platform IS NULL THEN 0 ELSE m.delivered END) AS BIGINT) AS read_base,
  CAST(sum(m.failed) AS BIGINT) AS failed,
  CAST(sum(m.campaign) AS BIGINT) AS broadcasts,
  CAST(sum(m.campaign * m.delivered) AS BIGINT) AS broadcasts_delivered,
  CAST(sum(m.campaign * m.replied) AS BIGINT) AS replied
FROM (
  SELECT
    CAST(round(CAST(m.sent_us - ((m.sent_us % 86400000000) + 86400000000) % 86400000000 AS DOUBLE)
    / CAST(86400000000 AS DOUBLE)) AS BIGINT) AS day_n,
    m.platform, coalesce(m.business_number, '') AS business_number,
    CASE WHEN m.delivered_us IS NULL THEN 0 ELSE 1 END AS delivered,
    CASE WHEN m.read_us IS NULL THEN 0 ELSE 1 END AS was_read,
    CASE WHEN m.failed_us IS NULL THEN 0 ELSE 1 END AS failed,
    CASE WHEN m.sender_kind = 'broadcast' AND m.failed_us IS NULL THEN 1 ELSE 0 END AS campaign,
    CASE WHEN a.message_id IS NULL THEN 0 ELSE 1 END AS replied
  FROM x_message AS m
  LEFT JOIN x_reply AS a ON a.platform = m.platform AND a.message_id = m.message_id
  WHERE m.direction = 'out' AND m.counts = 1
) AS m
LEFT JOIN x_reading AS r ON r.platform = m.platform
GROUP BY m.day_n, m.platform, m.business_number
