-- What a flow told. It carries no time and no id: the moment of receipt is both.
WITH told AS (
    SELECT DISTINCT coalesce(event, 'message') AS event, "messenger user id" AS user_id, "first name" AS first_name,
           "last name" AS last_name, phone, "last user freeform input" AS words, csat, received_at,
           nullif(ref, '') AS carrier
    FROM events
    WHERE coalesce(event, 'message') IN ('chat_started', 'message', 'csat', 'handover', 'unsubscribed')
)
SELECT 'facebook'                                                                  AS platform,
       'chatfuel:' || $account || ':' || user_id || ':' || received_at || ':' || event AS message_id,
       'facebook:' || $account || ':' || user_id                                   AS conversation_id,
       parse_instant(received_at, 'UTC')                                           AS ts,
       'in'                                                                        AS direction,
       'customer'                                                                  AS sender_kind,
       CASE event WHEN 'unsubscribed' THEN 'unsubscribe' WHEN 'handover' THEN 'handover' ELSE 'text' END AS kind,
       event IN ('handover', 'unsubscribed')                                       AS is_event,
       nullif(words, '')                                                           AS text,
       $account                                                                    AS channel_account,
       user_id                                                                     AS user_id,
       phone_e164(phone, '')                                                       AS phone_e164,
       nullif(trim(concat(first_name, ' ', last_name)), '')                        AS contact_name,
       coalesce(carried_token(carrier), visit_token(words))                        AS token,
       CASE WHEN carried_token(carrier) IS NOT NULL THEN 'ok' ELSE coalesce(token_state(words), 'missing') END AS token_state,
       carrier                                                                     AS link_ref,
       csat                                                                        AS csat,
       event = 'handover'                                                          AS bot_handover
FROM told
