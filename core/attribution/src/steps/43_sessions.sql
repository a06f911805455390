-- The first customer message of a session that is more than an unsubscribe word opens its inquiry; what stands
-- before it (a broadcast it answers) belongs to none.
SELECT o.platform, o.message_id, o.conversation_id, o.ts_us, o.direction, o.sender_kind, o.is_unsubscribe, o.rn,
  s.opener_rn, s.session_inquiry
FROM x_message_order AS o
LEFT JOIN (
  SELECT f.session, f.rn AS opener_rn, m.platform || ':' || m.message_id AS session_inquiry
  FROM (
    SELECT session, min(rn) AS rn
    FROM x_message_order
    WHERE direction = 'in' AND is_unsubscribe = 0
    GROUP BY session
  ) AS f
  JOIN x_message_order AS m ON m.rn = f.rn
) AS s ON s.session = o.session
