-- What visitors gave the chat: a review after its last message that we know of, else at its beginning. Only scores
-- from 1 to 5 are of that scale.
WITH last_said AS (
    SELECT chat_id, max(parse_instant(date_time, $time_zone)) AS ts FROM messages GROUP BY chat_id
)
SELECT 'comagic'                                                                   AS platform,
       'review:' || c.id                                                           AS message_id,
       coalesce('comagic:' || c.chat_channel_id || ':' || c.visitor_id, 'comagic:chat:' || c.id) AS conversation_id,
       coalesce(l.ts, parse_instant(c.date_time, $time_zone))                      AS ts,
       'in'                                                                        AS direction,
       'customer'                                                                  AS sender_kind,
       'review'                                                                    AS kind,
       true                                                                        AS is_event,
       c.chat_channel_id                                                           AS channel_account,
       c.visitor_id                                                                AS user_id,
       'missing'                                                                   AS token_state,
       c.employee_raiting                                                          AS csat
FROM chats c
LEFT JOIN last_said l ON l.chat_id = c.id
WHERE c.employee_raiting BETWEEN 1 AND 5 AND NOT coalesce(c.is_group_chat, false)
