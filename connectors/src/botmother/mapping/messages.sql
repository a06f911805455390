-- What a scenario told. The ids are the messenger's own.
WITH told AS (
    SELECT DISTINCT coalesce(event, 'message') AS event, user_id, username, text AS words, csat, phone,
           CASE platform WHEN 'tg' THEN 'telegram' WHEN 'fb' THEN 'facebook' ELSE platform END AS messenger,
           coalesce(ts, received_at) AS told_at,
           coalesce(parse_instant(ts, 'UTC'), parse_instant(received_at, 'UTC'))   AS at,
           nullif(start_param, '') AS carrier
    FROM events
    WHERE coalesce(event, 'message') IN ('chat_started', 'message', 'csat', 'handover', 'unsubscribed')
)
SELECT messenger                                                                   AS platform,
       'botmother:' || $account || ':' || user_id || ':' || told_at || ':' || event AS message_id,
       messenger || ':' || $account || ':' || user_id                              AS conversation_id,
       at                                                                          AS ts,
       'in'                                                                        AS direction,
       'customer'                                                                  AS sender_kind,
       CASE event WHEN 'unsubscribed' THEN 'unsubscribe' WHEN 'handover' THEN 'handover' ELSE 'text' END AS kind,
       event IN ('handover', 'unsubscribed')                                       AS is_event,
       nullif(words, '')                                                           AS text,
       $account                                                                    AS channel_account,
       user_id                                                                     AS user_id,
       phone_e164(phone, '')                                                       AS phone_e164,
       username                                                                    AS username,
       coalesce(carried_token(carrier), visit_token(words))                        AS token,
       CASE WHEN carried_token(carrier) IS NOT NULL THEN 'ok' ELSE coalesce(token_state(words), 'missing') END AS token_state,
       carrier                                                                     AS link_ref,
       csat                                                                        AS csat,
       event = 'handover'                                                          AS bot_handover
FROM told
