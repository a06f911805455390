-- What became of messages we sent: told with the message, or later of its id alone.
WITH sent AS (
    SELECT DISTINCT "messageId" AS id, "channelId" AS channel, "chatId" AS chat,
           CASE "chatType" WHEN 'whatsgroup' THEN 'whatsapp' WHEN 'telegroup' THEN 'telegram' WHEN 'maxgroup' THEN 'max'
                ELSE "chatType" END AS platform
    FROM events
    WHERE list = 'messages' AND coalesce("isEcho", false)
),
told AS (
    SELECT "messageId" AS id, status, "dateTime" AS at, error FROM events
    WHERE list = 'messages' AND coalesce("isEcho", false) AND NOT coalesce("isEdited", false)
    UNION ALL
    SELECT "messageId", status, "timestamp", error FROM events WHERE list = 'statuses'
)
SELECT coalesce(max(s.platform), 'wazzup')                                         AS platform,
       t.id                                                                        AS message_id,
       CASE t.status WHEN 'error' THEN 'failed' ELSE t.status END                  AS status,
       min(parse_instant(t.at, 'UTC'))                                             AS at,
       max(s.platform || ':' || s.channel || ':' || s.chat)                        AS conversation_id,
       max(s.channel)                                                              AS channel_account,
       max(s.chat)                                                                 AS user_id,
       max(json_text(t.error, 'error'))                                            AS failed_code,
       max(json_text(t.error, 'description'))                                      AS failed_reason
FROM told t
LEFT JOIN sent s ON s.id = t.id
WHERE t.status IN ('sent', 'delivered', 'read', 'error')
GROUP BY t.id, t.status
