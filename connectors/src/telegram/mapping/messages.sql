-- Messages to the bot and, over a business connection, of both sides; presses of buttons. A payload after
-- /start is what the link carried.
WITH told AS (
    SELECT received_at,
           coalesce(message, business_message, edited_message, edited_business_message,
                    json_text(callback_query, 'message'))                          AS m,
           callback_query                                                          AS pressed,
           edited_message IS NOT NULL OR edited_business_message IS NOT NULL       AS is_edit,
           business_message IS NOT NULL OR edited_business_message IS NOT NULL     AS is_business
    FROM events
    WHERE coalesce(message, business_message, edited_message, edited_business_message, callback_query) IS NOT NULL
),
read AS (
    SELECT received_at, m, pressed, is_edit, is_business,
           coalesce(json_text(pressed, 'from'), json_text(m, 'from'))              AS sender,
           coalesce(json_text(m, 'chat.id'), json_text(pressed, 'from.id'))        AS chat,
           coalesce(json_text(m, 'chat.type'), 'private')                          AS chat_type,
           CASE WHEN pressed IS NULL THEN coalesce(json_text(m, 'text'), json_text(m, 'caption'))
                ELSE json_text(pressed, 'data') END                                AS words
    FROM told
),
named AS (
    SELECT *,
           json_text(sender, 'id')                                                 AS sender_id,
           CASE WHEN is_business AND json_text(sender, 'id') <> chat THEN 'out' ELSE 'in' END AS direction,
           CASE WHEN pressed IS NULL AND regexp_like(words, '^/start(@\w+)?\s+[A-Za-z0-9_-]{1,64}$')
                THEN regexp_replace(words, '^/start(@\w+)?\s+', '') END            AS carrier
    FROM read
)
SELECT DISTINCT
       'telegram'                                                                  AS platform,
       CASE WHEN pressed IS NOT NULL THEN 'callback:' || json_text(pressed, 'id')
            ELSE $account || ':' || chat || ':' || json_text(m, 'message_id')
                 || CASE WHEN is_edit THEN ':edit:' || coalesce(json_text(m, 'edit_date'), '') ELSE '' END
       END                                                                         AS message_id,
       'telegram:' || $account || ':' || CASE WHEN chat_type = 'private' THEN chat ELSE chat || '/' || sender_id END
                                                                                   AS conversation_id,
       -- A press has no time of its own.
       CASE WHEN pressed IS NOT NULL THEN parse_instant(received_at, 'UTC')
            ELSE unix_to_instant(coalesce(CASE WHEN is_edit THEN json_int(m, 'edit_date') END, json_int(m, 'date')))
       END                                                                         AS ts,
       direction                                                                   AS direction,
       CASE WHEN direction = 'in' THEN 'customer'
            WHEN json_text(m, 'sender_business_bot.id') IS NOT NULL THEN 'bot'
            ELSE 'operator' END                                                    AS sender_kind,
       CASE WHEN is_edit THEN 'edit'
            WHEN pressed IS NOT NULL THEN 'button'
            WHEN json_text(m, 'photo') IS NOT NULL THEN 'image'
            WHEN json_text(m, 'voice') IS NOT NULL OR json_text(m, 'audio') IS NOT NULL THEN 'audio'
            WHEN json_text(m, 'video') IS NOT NULL OR json_text(m, 'video_note') IS NOT NULL THEN 'video'
            WHEN json_text(m, 'document') IS NOT NULL THEN 'document'
            WHEN json_text(m, 'sticker') IS NOT NULL THEN 'sticker'
            WHEN json_text(m, 'contact') IS NOT NULL THEN 'contacts'
            WHEN json_text(m, 'location') IS NOT NULL THEN 'location'
            WHEN words IS NOT NULL THEN 'text'
            ELSE 'unknown' END                                                     AS kind,
       -- Joins, pins and other notices have no words and nothing attached.
       is_edit OR (pressed IS NULL AND words IS NULL AND coalesce(json_text(m, 'photo'), json_text(m, 'voice'),
           json_text(m, 'audio'), json_text(m, 'video'), json_text(m, 'video_note'), json_text(m, 'document'),
           json_text(m, 'sticker'), json_text(m, 'contact'), json_text(m, 'location')) IS NULL) AS is_event,
       words                                                                       AS text,
       $account                                                                    AS channel_account,
       CASE WHEN direction = 'in' THEN sender_id WHEN chat_type = 'private' THEN chat END AS user_id,
       CASE WHEN json_text(m, 'contact.user_id') = sender_id
            THEN phone_e164('+' || translate(json_text(m, 'contact.phone_number'), '+ -()', ''), 'US') END
                                                                                   AS phone_e164,
       CASE WHEN direction = 'in'
            THEN nullif(trim(concat(json_text(sender, 'first_name'), ' ', json_text(sender, 'last_name'))), '') END
                                                                                   AS contact_name,
       CASE WHEN direction = 'in' THEN json_text(sender, 'username') END           AS username,
       CASE WHEN direction = 'in' AND NOT is_edit
            THEN coalesce(carried_token(carrier), visit_token(words)) END          AS token,
       CASE WHEN direction = 'out' OR is_edit THEN NULL
            WHEN carried_token(carrier) IS NOT NULL THEN 'ok'
            ELSE coalesce(token_state(words), 'missing') END                       AS token_state,
       CASE WHEN direction = 'in' AND NOT is_edit THEN carrier END                 AS link_ref,
       CASE WHEN is_edit OR pressed IS NOT NULL THEN $account || ':' || chat || ':' || json_text(m, 'message_id')
            ELSE $account || ':' || chat || ':' || json_text(m, 'reply_to_message.message_id') END AS reply_to
FROM named
