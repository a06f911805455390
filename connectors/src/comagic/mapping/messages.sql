-- Messages of both directions in every channel behind CoMagic. A message names its chat; the chat, told when it
-- begins, its channel and visitor; the visitor's card his name and phone.
WITH chats AS (
    SELECT chat_id, max(channel_id) AS channel, CASE WHEN count(DISTINCT visitor_id) = 1 THEN max(visitor_id) END AS visitor,
           CASE WHEN count(DISTINCT visitor_id) = 1 THEN max(visitor_phone) END AS phone
    FROM events
    WHERE path = '/chat' AND chat_id IS NOT NULL
    GROUP BY chat_id
),
cards AS (
    SELECT visitor_id, name, json_text(phones, '[0]') AS phone
    FROM (SELECT visitor_id, name, phones,
                 row_number() OVER (PARTITION BY visitor_id ORDER BY received_at DESC, name, phones) AS newest
          FROM events
          WHERE path = '/visitor/card' AND visitor_id IS NOT NULL)
    WHERE newest = 1
),
told AS (
    SELECT DISTINCT m.id, m.chat_id, m.source, m.operator_id, m.reply_to_id, m.created_at, m.text,
           lower(json_text(m.resource, 'type')) AS attached,
           coalesce(m.source IN ('visitor', 'form_text'), false)                   AS is_in,
           coalesce(m.channel_id, c.channel)                                       AS channel,
           coalesce(m.visitor_id, c.visitor)                                       AS visitor,
           c.phone
    FROM events m
    LEFT JOIN chats c ON c.chat_id = m.chat_id
    WHERE m.path = '/message' AND coalesce(m."method", 'POST') <> 'PATCH' AND m.id IS NOT NULL
)
SELECT $platform                                                                   AS platform,
       t.id                                                                        AS message_id,
       -- Of a chat whose beginning was not received only its number is known.
       coalesce($platform || ':' || t.channel || ':' || t.visitor, $platform || ':chat:' || t.chat_id)
                                                                                   AS conversation_id,
       parse_instant(t.created_at, 'UTC')                                          AS ts,
       CASE WHEN t.is_in THEN 'in' ELSE 'out' END                                  AS direction,
       CASE WHEN t.is_in THEN 'customer'
            WHEN t.source = 'operator' THEN 'operator'
            WHEN t.source IN ('chatbot', 'autoinvite', 'retention') THEN 'bot'
            WHEN t.source IN ('system', 'chat_channel') THEN 'system'
            WHEN t.operator_id IS NOT NULL THEN 'operator'
            ELSE 'bot' END                                                         AS sender_kind,
       CASE WHEN t.attached IN ('image', 'photo', 'picture') THEN 'image'
            WHEN t.attached IN ('audio', 'voice') THEN 'audio'
            WHEN t.attached = 'video' THEN 'video'
            WHEN t.attached IS NOT NULL THEN 'document'
            ELSE 'text' END                                                        AS kind,
       false                                                                       AS is_event,
       nullif(t.text, '')                                                          AS text,
       t.channel                                                                   AS channel_account,
       t.visitor                                                                   AS user_id,
       coalesce(phone_e164('+' || translate(t.phone, '+ -()', ''), 'US'),
                phone_e164('+' || translate(k.phone, '+ -()', ''), 'US'))          AS phone_e164,
       nullif(k.name, '')                                                          AS contact_name,
       CASE WHEN NOT t.is_in THEN $platform || ':' || t.operator_id END            AS operator_id,
       CASE WHEN t.is_in THEN visit_token(t.text) END                              AS token,
       CASE WHEN t.is_in THEN coalesce(token_state(t.text), 'missing') END         AS token_state,
       t.reply_to_id                                                               AS reply_to
FROM told t
LEFT JOIN cards k ON k.visitor_id = t.visitor
