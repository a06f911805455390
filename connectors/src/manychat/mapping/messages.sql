-- What a flow told. ManyChat's own id of a subscriber is nobody's id in a messenger.
WITH told AS (
    SELECT DISTINCT coalesce(event, 'message') AS event, subscriber_id, name, phone, last_input_text AS words, csat,
           coalesce(event_id, subscriber_id || ':' || coalesce(ts, received_at) || ':' || coalesce(event, 'message')) AS id,
           coalesce(parse_instant(ts, 'UTC'), parse_instant(received_at, 'UTC'))   AS at,
           nullif(visit_id, '')                                                    AS carrier
    FROM events
    WHERE coalesce(event, 'message') IN ('chat_started', 'message', 'csat', 'handover', 'unsubscribed')
)
SELECT 'manychat'                                                                  AS platform,
       $account || ':' || id                                                       AS message_id,
       'manychat:' || $account || ':' || subscriber_id                             AS conversation_id,
       at                                                                          AS ts,
       'in'                                                                        AS direction,
       'customer'                                                                  AS sender_kind,
       CASE event WHEN 'unsubscribed' THEN 'unsubscribe' WHEN 'handover' THEN 'handover' ELSE 'text' END AS kind,
       event IN ('handover', 'unsubscribed')                                       AS is_event,
       nullif(words, '')                                                           AS text,
       $account                                                                    AS channel_account,
       subscriber_id                                                               AS user_id,
       phone_e164(phone, '')                                                       AS phone_e164,
       name                                                                        AS contact_name,
       coalesce(carried_token(carrier), visit_token(words))                        AS token,
       CASE WHEN carried_token(carrier) IS NOT NULL THEN 'ok' ELSE coalesce(token_state(words), 'missing') END AS token_state,
       carrier                                                                     AS link_ref,
       csat                                                                        AS csat,
       event = 'handover'                                                          AS bot_handover
FROM told
