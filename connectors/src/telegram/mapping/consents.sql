-- The bot started, blocked and unblocked, in private chats.
SELECT 'telegram'                                                                  AS platform,
       json_text(my_chat_member, 'chat.id')                                        AS user_id,
       unix_to_instant(json_int(my_chat_member, 'date'))                           AS ts,
       CASE json_text(my_chat_member, 'new_chat_member.status')
            WHEN 'kicked' THEN 'opt_out' ELSE 'opt_in' END                         AS action,
       'platform'                                                                  AS method,
       'my_chat_member:' || json_text(my_chat_member, 'chat.id')                   AS evidence
FROM events
WHERE json_text(my_chat_member, 'chat.type') = 'private'
  AND json_text(my_chat_member, 'new_chat_member.status') IN ('kicked', 'member')
UNION
SELECT 'telegram', json_text(message, 'from.id'), unix_to_instant(min(json_int(message, 'date'))), 'opt_in', 'link',
       'start:' || json_text(message, 'from.id')
FROM events
WHERE json_text(message, 'chat.type') = 'private' AND regexp_like(json_text(message, 'text'), '^/start(\s|@|$)')
GROUP BY json_text(message, 'from.id')
