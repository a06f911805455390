-- What became of messages that were sent to a visitor: told with the message, with its update, or of its id alone.
WITH chats AS (
    SELECT chat_id, max(channel_id) AS channel, CASE WHEN count(DISTINCT visitor_id) = 1 THEN max(visitor_id) END AS visitor
    FROM events
    WHERE path = '/chat' AND chat_id IS NOT NULL
    GROUP BY chat_id
),
messages AS (
    SELECT id, max(chat_id) AS chat_id, max(source) AS source, max(operator_id) AS operator_id
    FROM events
    WHERE path = '/message' AND id IS NOT NULL
    GROUP BY id
),
told AS (
    SELECT id, status,
           -- A message that is told late tells a late state: when it was reached is not known.
           CASE WHEN status IN ('accepted', 'sent') AND coalesce("method", 'POST') <> 'PATCH'
                THEN coalesce(created_at, received_at) ELSE received_at END        AS at
    FROM events
    WHERE path = '/message' AND id IS NOT NULL
    UNION ALL
    SELECT coalesce(message_id, id), status, coalesce(created_at, received_at) FROM events WHERE path = '/message/status'
)
SELECT $platform                                                                   AS platform,
       t.id                                                                        AS message_id,
       CASE t.status WHEN 'accepted' THEN 'sent' WHEN 'error' THEN 'failed' ELSE t.status END AS status,
       min(parse_instant(t.at, 'UTC'))                                             AS at,
       max(coalesce($platform || ':' || c.channel || ':' || c.visitor, $platform || ':chat:' || m.chat_id))
                                                                                   AS conversation_id,
       max(c.channel)                                                              AS channel_account,
       max(c.visitor)                                                              AS user_id,
       max(CASE WHEN m.source = 'operator' THEN $platform || ':' || m.operator_id END) AS operator_id
FROM told t
LEFT JOIN messages m ON m.id = t.id
LEFT JOIN chats c ON c.chat_id = m.chat_id
WHERE t.id IS NOT NULL AND t.status IN ('accepted', 'sent', 'delivered', 'read', 'error')
  AND coalesce(m.source, '') NOT IN ('visitor', 'form_text')
GROUP BY t.id, CASE t.status WHEN 'accepted' THEN 'sent' WHEN 'error' THEN 'failed' ELSE t.status END
