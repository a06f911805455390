-- Messages of both directions in every messenger behind Wazzup. An edit comes again under the id of its message.
WITH told AS (
    SELECT "messageId" AS id, "channelId" AS channel, "chatId" AS chat,
           CASE "chatType" WHEN 'whatsgroup' THEN 'whatsapp' WHEN 'telegroup' THEN 'telegram' WHEN 'maxgroup' THEN 'max'
                ELSE "chatType" END AS platform,
           "chatType" IN ('whatsgroup', 'telegroup', 'maxgroup') AS is_group,
           parse_instant("dateTime", 'UTC') AS ts,
           coalesce("isEcho", false) AND status IS DISTINCT FROM 'inbound' AS is_out,
           type, text, "authorId" AS author, "sentFromApp" AS from_app, contact, "quotedMessage" AS quoted,
           coalesce("isEdited", false) AS is_edit, coalesce("isDeleted", false) AS is_deleted
    FROM events
    WHERE list = 'messages'
)
SELECT DISTINCT
       platform                                                                    AS platform,
       CASE WHEN is_edit OR is_deleted THEN id || CASE WHEN is_edit THEN ':edit:' ELSE ':delete:' END
                || CAST(instant_us(ts) AS VARCHAR) ELSE id END                     AS message_id,
       platform || ':' || channel || ':' || chat                                   AS conversation_id,
       ts                                                                          AS ts,
       CASE WHEN is_out THEN 'out' ELSE 'in' END                                   AS direction,
       CASE WHEN NOT is_out THEN 'customer'
            WHEN author IS NOT NULL OR from_app THEN 'operator' ELSE 'bot' END     AS sender_kind,
       CASE WHEN is_deleted THEN 'delete' WHEN is_edit THEN 'edit'
            WHEN type IN ('wapi_template') THEN 'text' WHEN type = 'geo' THEN 'location'
            WHEN type = 'vcard' THEN 'contacts' ELSE coalesce(type, 'unknown') END AS kind,
       is_edit OR is_deleted OR coalesce(type = 'missing_call', false)             AS is_event,
       nullif(text, '')                                                            AS text,
       channel                                                                     AS channel_account,
       CASE WHEN NOT is_group THEN chat END                                        AS user_id,
       CASE WHEN is_group THEN NULL
            WHEN platform IN ('whatsapp', 'viber') THEN phone_e164('+' || chat, 'US')
            ELSE phone_e164('+' || translate(json_text(contact, 'phone'), '+ -()', ''), 'US') END AS phone_e164,
       json_text(contact, 'name')                                                  AS contact_name,
       json_text(contact, 'username')                                              AS username,
       CASE WHEN is_out THEN 'wazzup:' || author END                               AS operator_id,
       CASE WHEN NOT is_out AND NOT is_edit THEN visit_token(text) END             AS token,
       CASE WHEN NOT is_out AND NOT is_edit THEN coalesce(token_state(text), 'missing') END AS token_state,
       CASE WHEN is_edit OR is_deleted THEN id ELSE json_text(quoted, 'messageId') END AS reply_to
FROM told
