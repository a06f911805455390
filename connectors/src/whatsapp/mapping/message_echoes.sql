-- Messages that a person sent from the WhatsApp Business app. Messages sent through the API never come
-- here: they are known by their statuses alone.
WITH pairs AS (
    SELECT user_id, min(wa_id) AS wa_id
    FROM (SELECT user_id, wa_id FROM contacts
          UNION ALL
          SELECT from_user_id AS user_id, "from" AS wa_id FROM messages)
    WHERE user_id IS NOT NULL AND wa_id IS NOT NULL
    GROUP BY user_id
),
told AS (
    SELECT e.*,
           -- Edits and deletions have been seen with both ends swapped.
           coalesce(CASE WHEN e."to" = e.display_phone_number THEN e."from" ELSE e."to" END,
                    json_text(e.contact, 'wa_id'),
                    p.wa_id)                                                       AS number,
           coalesce(e.to_user_id, json_text(e.contact, 'user_id'))                 AS scoped_id,
           coalesce(e.type IN ('reaction', 'edit', 'revoke', 'system'), false)     AS is_event_
    FROM message_echoes e
    LEFT JOIN pairs p ON p.user_id = coalesce(e.to_user_id, json_text(e.contact, 'user_id'))
)
SELECT 'whatsapp'                                                                  AS platform,
       id                                                                          AS message_id,
       'whatsapp:' || phone_number_id || ':' || coalesce(number, scoped_id)        AS conversation_id,
       unix_to_instant("timestamp")                                                AS ts,
       'out'                                                                       AS direction,
       'operator'                                                                  AS sender_kind,
       CASE WHEN type = 'revoke' THEN 'delete' ELSE coalesce(type, 'unknown') END  AS kind,
       is_event_                                                                   AS is_event,
       coalesce(json_text(text, 'body'),
                json_text(image, 'caption'),
                json_text(video, 'caption'),
                json_text(document, 'caption'),
                json_text(reaction, 'emoji'),
                json_text(edit, 'message.text.body'),
                json_text(edit, 'message.image.caption'))                          AS text,
       phone_number_id                                                             AS channel_account,
       display_phone_number                                                        AS business_number,
       coalesce(number, scoped_id)                                                 AS user_id,
       phone_e164('+' || number, 'US')                                             AS phone_e164,
       json_text(contact, 'profile.name')                                          AS contact_name,
       json_text(contact, 'profile.username')                                      AS username,
       coalesce(json_text(reaction, 'message_id'),
                json_text(edit, 'original_message_id'),
                json_text(revoke, 'original_message_id'),
                json_text(context, 'id'))                                          AS reply_to
FROM told
