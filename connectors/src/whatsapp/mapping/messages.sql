-- Messages of customers. One person is one conversation: the number (wa_id) names the person where any
-- delivery ever told it, also for deliveries that carry the business-scoped id alone.
WITH pairs AS (
    SELECT user_id, min(wa_id) AS wa_id
    FROM (SELECT user_id, wa_id FROM contacts
          UNION ALL
          SELECT from_user_id AS user_id, "from" AS wa_id FROM messages)
    WHERE user_id IS NOT NULL AND wa_id IS NOT NULL
    GROUP BY user_id
),
told AS (
    SELECT m.*,
           coalesce(m."from", json_text(m.contact, 'wa_id'), p.wa_id)              AS number,
           coalesce(m.from_user_id, json_text(m.contact, 'user_id'))               AS scoped_id,
           coalesce(m.type IN ('reaction', 'edit', 'revoke', 'system', 'request_welcome'), false) AS is_event_,
           coalesce(json_text(m.text, 'body'),
                    json_text(m.button, 'text'),
                    json_text(m.interactive, 'button_reply.title'),
                    json_text(m.interactive, 'list_reply.title'),
                    json_text(m.image, 'caption'),
                    json_text(m.video, 'caption'),
                    json_text(m.document, 'caption'),
                    json_text(m.reaction, 'emoji'),
                    nullif(json_text(m."order", 'text'), ''),
                    json_text(m.edit, 'message.text.body'),
                    json_text(m.edit, 'message.image.caption'),
                    json_text(m.edit, 'message.video.caption'),
                    json_text(m.edit, 'message.document.caption'))                 AS words
    FROM messages m
    LEFT JOIN pairs p ON p.user_id = coalesce(m.from_user_id, json_text(m.contact, 'user_id'))
)
SELECT 'whatsapp'                                                                  AS platform,
       id                                                                          AS message_id,
       'whatsapp:' || phone_number_id || ':' || coalesce(group_id || '/', '') || coalesce(number, scoped_id)
                                                                                   AS conversation_id,
       unix_to_instant("timestamp")                                                AS ts,
       'in'                                                                        AS direction,
       CASE WHEN type = 'system' THEN 'system' ELSE 'customer' END                 AS sender_kind,
       CASE WHEN type = 'interactive' AND json_text(interactive, 'type') = 'button_reply' THEN 'button'
            WHEN type = 'interactive' THEN coalesce(json_text(interactive, 'type'), 'interactive')
            WHEN type = 'revoke' THEN 'delete'
            ELSE coalesce(type, 'unknown')
       END                                                                         AS kind,
       is_event_                                                                   AS is_event,
       words                                                                       AS text,
       phone_number_id                                                             AS channel_account,
       display_phone_number                                                        AS business_number,
       coalesce(number, scoped_id)                                                 AS user_id,
       phone_e164('+' || number, 'US')                                             AS phone_e164,
       json_text(contact, 'profile.name')                                          AS contact_name,
       json_text(contact, 'profile.username')                                      AS username,
       CASE WHEN NOT is_event_ THEN visit_token(words) END                         AS token,
       CASE WHEN NOT is_event_ THEN coalesce(token_state(words), 'missing') END    AS token_state,
       coalesce(json_text(reaction, 'message_id'),
                json_text(edit, 'original_message_id'),
                json_text(revoke, 'original_message_id'),
                json_text(context, 'id'))                                          AS reply_to,
       json_text(referral, 'source_type')                                          AS ad_source_type,
       json_text(referral, 'source_id')                                            AS ad_id,
       json_text(referral, 'source_url')                                           AS ad_source_url,
       json_text(referral, 'headline')                                             AS ad_headline,
       json_text(referral, 'ctwa_clid')                                            AS ctwa_clid
FROM told
