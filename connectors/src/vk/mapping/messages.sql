-- Messages of both directions. In a private chat the conversation is the person's id; in a group chat each
-- member has one.
read AS (
    SELECT event, event_id, group_id, name, m,
           json_int(m, 'id') AS id,
           json_int(m, 'from_id') AS from_id,
           json_int(m, 'peer_id') AS peer_id,
           json_text(m, 'text') AS words,
           nullif(json_text(m, 'ref'), '') AS carrier,
           CASE WHEN json_int(m, 'out') = 1 OR json_int(m, 'from_id') < 0 THEN 'out' ELSE 'in' END AS direction,
           CASE json_text(m, 'attachments[0].type') WHEN 'photo' THEN 'image' WHEN 'audio_message' THEN 'audio'
                WHEN 'doc' THEN 'document' ELSE json_text(m, 'attachments[0].type') END AS attached
    FROM told
),
named AS (
    SELECT *,
           -- A message of a group chat may have no id of its own.
           CASE WHEN id > 0 THEN CAST(id AS VARCHAR)
                ELSE CAST(peer_id AS VARCHAR) || '_' || json_text(m, 'conversation_message_id') END AS number,
           CASE WHEN peer_id < 2000000000 THEN CAST(peer_id AS VARCHAR)
                WHEN direction = 'in' THEN CAST(from_id AS VARCHAR) END AS person
    FROM read
)
SELECT DISTINCT
       'vk'                                                                        AS platform,
       group_id || ':' || CASE WHEN event = 'message_edit' THEN number || ':edit:' || event_id ELSE number END
                                                                                   AS message_id,
       'vk:' || group_id || ':' || CASE WHEN peer_id < 2000000000 THEN CAST(peer_id AS VARCHAR)
                                        ELSE CAST(peer_id AS VARCHAR) || coalesce('/' || person, '') END
                                                                                   AS conversation_id,
       unix_to_instant(coalesce(CASE WHEN event = 'message_edit' THEN json_int(m, 'update_time') END,
                                json_int(m, 'date')))                              AS ts,
       direction                                                                   AS direction,
       CASE WHEN direction = 'in' THEN 'customer'
            WHEN json_int(m, 'admin_author_id') IS NOT NULL THEN 'operator'
            ELSE 'bot' END                                                         AS sender_kind,
       CASE WHEN event = 'message_edit' THEN 'edit'
            WHEN nullif(words, '') IS NULL THEN coalesce(attached, 'unknown')
            WHEN direction = 'in' AND nullif(json_text(m, 'payload'), '') IS NOT NULL THEN 'button'
            ELSE 'text' END                                                        AS kind,
       event = 'message_edit'                                                      AS is_event,
       nullif(words, '')                                                           AS text,
       group_id                                                                    AS channel_account,
       person                                                                      AS user_id,
       CASE WHEN direction = 'in' THEN name END                                    AS contact_name,
       'vk:' || json_text(m, 'admin_author_id')                                    AS operator_id,
       CASE WHEN direction = 'in' AND event <> 'message_edit'
            THEN coalesce(carried_token(carrier), visit_token(words)) END          AS token,
       CASE WHEN direction = 'out' OR event = 'message_edit' THEN NULL
            WHEN carried_token(carrier) IS NOT NULL THEN 'ok'
            ELSE coalesce(token_state(words), 'missing') END                       AS token_state,
       CASE WHEN direction = 'in' AND event <> 'message_edit' THEN carrier END     AS link_ref,
       coalesce(CASE WHEN event = 'message_edit' THEN group_id || ':' || number END,
                group_id || ':' || json_text(m, 'reply_message.id'))               AS reply_to
FROM named
