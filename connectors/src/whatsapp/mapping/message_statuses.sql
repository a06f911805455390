-- What became of messages we sent. The sender says in biz_opaque_callback_data who spoke: `bot:..`,
-- `agent:ID`, `broadcast:..`.
WITH pairs AS (
    SELECT user_id, min(wa_id) AS wa_id
    FROM (SELECT user_id, wa_id FROM contacts
          UNION ALL
          SELECT from_user_id AS user_id, "from" AS wa_id FROM messages)
    WHERE user_id IS NOT NULL AND wa_id IS NOT NULL
    GROUP BY user_id
),
scoped AS (
    SELECT s.*,
           CASE WHEN recipient_type = 'group' THEN recipient_participant_user_id
                ELSE coalesce(recipient_user_id, json_text(contact, 'user_id'))
           END                                                                     AS scoped_id
    FROM statuses s
),
told AS (
    SELECT s.*,
           coalesce(CASE WHEN s.recipient_type = 'group' THEN coalesce(s.recipient_participant_id, s.participant_id)
                         ELSE coalesce(s.recipient_id, json_text(s.contact, 'wa_id'))
                    END,
                    p.wa_id)                                                       AS number,
           CASE WHEN s.recipient_type = 'group' THEN s.recipient_id || '/' ELSE '' END AS group_part
    FROM scoped s
    LEFT JOIN pairs p ON p.user_id = s.scoped_id
)
SELECT 'whatsapp'                                                                  AS platform,
       id                                                                          AS message_id,
       status                                                                      AS status,
       unix_to_instant("timestamp")                                                AS at,
       'whatsapp:' || phone_number_id || ':' || group_part || coalesce(number, scoped_id) AS conversation_id,
       phone_number_id                                                             AS channel_account,
       display_phone_number                                                        AS business_number,
       coalesce(number, scoped_id)                                                 AS user_id,
       phone_e164('+' || number, 'US')                                             AS phone_e164,
       CASE WHEN biz_opaque_callback_data = 'bot' OR starts_with(biz_opaque_callback_data, 'bot:') THEN 'bot'
            WHEN biz_opaque_callback_data = 'agent' OR starts_with(biz_opaque_callback_data, 'agent:') THEN 'operator'
            WHEN biz_opaque_callback_data = 'broadcast' OR starts_with(biz_opaque_callback_data, 'broadcast:')
                THEN 'broadcast'
       END                                                                         AS sender_kind,
       CASE WHEN starts_with(biz_opaque_callback_data, 'agent:')
                THEN nullif(substr(biz_opaque_callback_data, 7), '')
       END                                                                         AS operator_id,
       json_text(errors, '[0].code')                                               AS failed_code,
       coalesce(json_text(errors, '[0].error_data.details'),
                json_text(errors, '[0].message'),
                json_text(errors, '[0].title'))                                    AS failed_reason,
       replace(lower(json_text(pricing, 'category')), '-', '_')                    AS price_category,
       CASE json_text(pricing, 'billable') WHEN 'true' THEN true WHEN 'false' THEN false END AS is_billable
FROM told
