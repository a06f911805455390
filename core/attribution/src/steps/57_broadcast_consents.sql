-- Whether the recipient of a broadcast had opted in when it was sent: the last word of that person, on that
-- platform or in a place that is no messenger (a form, a call). Of two words at one instant, no counts.
SELECT m.platform, m.message_id, CASE WHEN l.action = 'opt_in' THEN 1 ELSE 0 END AS consented
FROM x_message AS m
LEFT JOIN (
  SELECT platform, message_id, action
  FROM (
    SELECT m.platform, m.message_id, c.action,
      row_number() OVER (PARTITION BY m.platform, m.message_id ORDER BY c.ts_us DESC, c.action DESC) AS rn
    FROM x_message AS m
    JOIN x_message_person AS p ON p.platform = m.platform AND p.message_id = m.message_id
    JOIN x_consent AS c ON c.person = p.person
    WHERE m.sender_kind = 'broadcast' AND m.direction = 'out' AND m.counts = 1
      AND c.ts_us <= m.sent_us AND (c.platform = m.platform OR c.is_messenger = 0)
  ) AS r
  WHERE rn = 1
) AS l ON l.platform = m.platform AND l.message_id = m.message_id
WHERE m.sender_kind = 'broadcast' AND m.direction = 'out' AND m.counts = 1
