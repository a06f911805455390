-- Exported chats. Who is known by a number has the conversation that the Cloud API's deliveries would give him.
SELECT 'whatsapp'                                                                  AS platform,
       'export:' || id                                                             AS message_id,
       'whatsapp:' || $account || ':' || CASE WHEN is_group THEN chat || coalesce('/' || person, '')
                                              ELSE coalesce(person, chat) END      AS conversation_id,
       parse_instant(local_time, $time_zone)                                       AS ts,
       CASE WHEN is_ours THEN 'out' ELSE 'in' END                                  AS direction,
       CASE WHEN sender IS NULL THEN 'system' WHEN is_ours THEN 'operator' ELSE 'customer' END AS sender_kind,
       kind                                                                        AS kind,
       is_event                                                                    AS is_event,
       text                                                                        AS text,
       $account                                                                    AS channel_account,
       -- A name is no id: two people may have it.
       CASE WHEN phone IS NOT NULL THEN person END                                 AS user_id,
       phone                                                                       AS phone_e164,
       name                                                                        AS contact_name,
       CASE WHEN is_ours THEN 'whatsapp_export:' || sender END                     AS operator_id,
       CASE WHEN NOT is_ours AND NOT is_event THEN visit_token(text) END           AS token,
       CASE WHEN NOT is_ours AND NOT is_event THEN coalesce(token_state(text), 'missing') END AS token_state
FROM messages
