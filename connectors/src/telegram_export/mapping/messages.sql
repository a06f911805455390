-- Exported chats, under the ids that the Bot API would give them. In a chat of two the conversation is the customer's
-- id; in a group each member has one.
WITH said AS (
    SELECT *, nullif(words, '') AS said,
           CASE WHEN is_ours THEN 'out' ELSE 'in' END                              AS direction,
           type <> 'message'                                                       AS is_notice,
           $account || ':' || chat_id || ':'                                       AS before
    FROM messages
)
SELECT 'telegram'                                                                  AS platform,
       before || CAST(id AS VARCHAR)                                               AS message_id,
       'telegram:' || $account || ':' || CASE WHEN chat_type = 'personal_chat' THEN chat_id
            ELSE chat_id || CASE WHEN is_ours THEN '' ELSE coalesce('/' || person, '') END END AS conversation_id,
       coalesce(unix_to_instant(sent_unix), parse_instant("date", $time_zone))     AS ts,
       direction                                                                   AS direction,
       CASE WHEN is_notice THEN 'system' WHEN is_ours THEN 'operator' ELSE 'customer' END AS sender_kind,
       CASE WHEN is_notice THEN 'system'
            WHEN media_type IN ('voice_message', 'audio_file') THEN 'audio'
            WHEN media_type IN ('video_message', 'video_file', 'animation') THEN 'video'
            WHEN media_type = 'sticker' THEN 'sticker'
            WHEN photo IS NOT NULL THEN 'image'
            WHEN file IS NOT NULL THEN 'document'
            WHEN contact_information IS NOT NULL THEN 'contacts'
            WHEN location_information IS NOT NULL THEN 'location'
            WHEN said IS NOT NULL THEN 'text'
            ELSE 'unknown' END                                                     AS kind,
       is_notice                                                                   AS is_event,
       said                                                                        AS text,
       $account                                                                    AS channel_account,
       CASE WHEN chat_type = 'personal_chat' THEN chat_id WHEN NOT is_ours THEN person END AS user_id,
       CASE WHEN NOT is_ours AND NOT is_notice THEN "from" END                     AS contact_name,
       CASE WHEN is_ours THEN 'telegram_export:' || person END                     AS operator_id,
       CASE WHEN NOT is_ours AND NOT is_notice THEN visit_token(said) END          AS token,
       CASE WHEN NOT is_ours AND NOT is_notice THEN coalesce(token_state(said), 'missing') END AS token_state,
       before || CAST(reply_to_message_id AS VARCHAR)                              AS reply_to
FROM said
