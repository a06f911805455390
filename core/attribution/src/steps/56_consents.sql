-- Opt-ins and opt-outs: what platforms and forms report, and what customers write.
SELECT e.consent_id, e.platform, e.user_type, e.user_value, e.person, e.ts_us, e.day_n, e.action, e.method, e.evidence,
  CASE WHEN m.platform IS NULL THEN 0 ELSE 1 END AS is_messenger
FROM (
  SELECT 'event:' || c.platform || ':' || c.user_id || ':' || CAST(c.ts_us AS VARCHAR) || ':' || c.action AS consent_id,
    c.platform, c.user_type, c.user_id AS user_value, i.person, c.ts_us, c.ts_day AS day_n, c.action,
    coalesce(c.method, 'platform') AS method, c.evidence
  FROM c_consents AS c
  JOIN x_id AS i ON i.id_type = c.user_type AND i.id_value = c.user_id
  UNION ALL
  SELECT 'message:' || m.platform || ':' || m.message_id AS consent_id,
    m.platform, m.user_type, m.user_value, p.person, m.ts_us,
    CAST(round(CAST(m.ts_us - ((m.ts_us % 86400000000) + 86400000000) % 86400000000 AS DOUBLE)
    / CAST(86400000000 AS DOUBLE)) AS BIGINT) AS day_n,
    CASE WHEN m.is_unsubscribe = 1 THEN 'opt_out' ELSE 'opt_in' END AS action,
    CASE WHEN m.kind IN ('button', 'list_reply', 'unsubscribe') THEN 'button' ELSE 'keyword' END AS method,
    m.message_id AS evidence
  FROM x_message AS m
  JOIN x_message_person AS p ON p.platform = m.platform AND p.message_id = m.message_id
  WHERE m.counts = 1 AND (m.is_unsubscribe = 1 OR m.is_subscribe = 1)
) AS e
LEFT JOIN x_messenger AS m ON m.platform = e.platform
