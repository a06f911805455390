-- Messages of both directions, the same rows as those that the callbacks tell (connector `comagic`). A message of a
-- group chat is nobody's. The chat tells phone and user name, the channel what people see.
WITH about AS (
    SELECT id, nullif(chat_username, '') AS username,
           phone_e164('+' || nullif(translate(visitor_phone_number, '+ -()', ''), ''), 'US') AS phone
    FROM chats
    WHERE NOT coalesce(is_group_chat, false)
),
told AS (
    SELECT m.*, lower(json_text(m.resource, 'type'))                               AS attached,
           coalesce(m.source IN ('visitor', 'form_text'), false)                   AS is_in,
           CASE WHEN NOT coalesce(m.is_group_chat, false) THEN m.visitor_id END    AS visitor
    FROM messages m
)
SELECT 'comagic'                                                                   AS platform,
       t.id                                                                        AS message_id,
       coalesce('comagic:' || t.channel_id || ':' || t.visitor, 'comagic:chat:' || t.chat_id)
                                                                                   AS conversation_id,
       parse_instant(t.date_time, $time_zone)                                      AS ts,
       CASE WHEN t.is_in THEN 'in' ELSE 'out' END                                  AS direction,
       CASE WHEN t.is_in THEN 'customer'
            WHEN t.source = 'operator' THEN 'operator'
            WHEN t.source IN ('chatbot', 'autoinvite', 'retention') THEN 'bot'
            WHEN t.source IN ('system', 'chat_channel') THEN 'system'
            WHEN t.employee_id IS NOT NULL THEN 'operator'
            ELSE 'bot' END                                                         AS sender_kind,
       CASE WHEN t.attached IN ('image', 'photo', 'picture') THEN 'image'
            WHEN t.attached IN ('audio', 'voice') THEN 'audio'
            WHEN t.attached = 'video' THEN 'video'
            WHEN t.attached IS NOT NULL THEN 'document'
            ELSE 'text' END                                                        AS kind,
       false                                                                       AS is_event,
       nullif(t.text, '')                                                          AS text,
       t.channel_id                                                                AS channel_account,
       nullif(k.channel_external_id, '')                                           AS business_number,
       t.visitor                                                                   AS user_id,
       CASE WHEN t.visitor IS NOT NULL THEN a.phone END                            AS phone_e164,
       CASE WHEN t.visitor IS NOT NULL THEN a.username END                         AS username,
       CASE WHEN NOT t.is_in THEN 'comagic:' || t.employee_id END                  AS operator_id,
       CASE WHEN t.is_in THEN visit_token(t.text) END                              AS token,
       CASE WHEN t.is_in THEN coalesce(token_state(t.text), 'missing') END         AS token_state
FROM told t
LEFT JOIN about a ON a.id = t.chat_id
LEFT JOIN channels k ON k.id = t.channel_id
