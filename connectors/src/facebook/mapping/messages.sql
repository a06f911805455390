-- Messenger and Instagram: messages of both directions, presses of buttons, and chats opened by a link or an ad. What a link carried
-- may come before the first message, without one: the first message within a day of it carries it on.
WITH told AS (
    SELECT coalesce(sender, json_text(value, 'sender')) AS sender,
           coalesce(recipient, json_text(value, 'recipient')) AS recipient,
           coalesce(message, json_text(value, 'message')) AS message,
           coalesce(postback, json_text(value, 'postback')) AS postback,
           coalesce(referral, json_text(value, 'referral')) AS referral,
           -- The dashboard's tests are in seconds.
           coalesce(CAST("timestamp" AS BIGINT), json_int(value, 'timestamp') * 1000) AS at_ms
    FROM events
    WHERE coalesce(object, $object) = $object
      AND coalesce(message, postback, referral, json_text(value, 'message'), json_text(value, 'postback'),
                   json_text(value, 'referral')) IS NOT NULL
),
read AS (
    SELECT DISTINCT message, postback, at_ms,
           coalesce(json_text(message, 'is_echo'), 'false') = 'true' AS is_echo,
           coalesce(json_text(message, 'mid'), json_text(postback, 'mid')) AS mid,
           message IS NULL AND postback IS NULL AS is_opening,
           CASE WHEN json_text(message, 'is_echo') = 'true' THEN json_text(sender, 'id')
                ELSE json_text(recipient, 'id') END AS account,
           CASE WHEN json_text(message, 'is_echo') = 'true' THEN json_text(recipient, 'id')
                ELSE coalesce(json_text(sender, 'id'), json_text(sender, 'user_ref')) END AS person,
           coalesce(referral, json_text(message, 'referral'), json_text(postback, 'referral')) AS came
    FROM told
),
counted AS (
    SELECT *,
           coalesce(sum(CASE WHEN is_opening OR is_echo THEN 0 ELSE 1 END) OVER (
               PARTITION BY account, person ORDER BY at_ms, is_opening DESC, coalesce(mid, '')
               ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS messages_before
    FROM read
),
carried AS (
    SELECT *,
           CASE WHEN is_echo THEN NULL
                WHEN came IS NOT NULL THEN came
                WHEN at_ms - first_value(at_ms) OVER newest BETWEEN 0 AND 86400000 THEN first_value(came) OVER newest
           END AS carrier,
           CASE WHEN message IS NULL THEN json_text(postback, 'title') ELSE json_text(message, 'text') END AS words
    FROM counted
    WINDOW newest AS (PARTITION BY account, person, messages_before ORDER BY (came IS NULL OR is_echo), at_ms DESC)
)
SELECT $platform                                                                   AS platform,
       coalesce(mid, CASE WHEN is_opening THEN 'opened:' ELSE 'postback:' END || account || ':' || person || ':'
           || CAST(at_ms AS VARCHAR))                                              AS message_id,
       $platform || ':' || account || ':' || person                                AS conversation_id,
       unix_ms_to_instant(at_ms)                                                   AS ts,
       CASE WHEN is_echo THEN 'out' ELSE 'in' END                                  AS direction,
       CASE WHEN NOT is_echo THEN 'customer'
            WHEN json_text(message, 'app_id') IS NULL THEN 'operator'
            WHEN $app_id IS NOT NULL AND json_text(message, 'app_id') <> $app_id THEN 'operator'
            ELSE 'bot' END                                                         AS sender_kind,
       CASE WHEN is_opening THEN 'opened'
            WHEN postback IS NOT NULL OR json_text(message, 'quick_reply.payload') IS NOT NULL THEN 'button'
            WHEN json_text(message, 'is_deleted') = 'true' THEN 'delete'
            WHEN json_text(message, 'is_unsupported') = 'true' THEN 'unsupported'
            WHEN words IS NULL THEN coalesce(CASE json_text(message, 'attachments[0].type') WHEN 'file' THEN 'document'
                ELSE json_text(message, 'attachments[0].type') END, 'unknown')
            ELSE 'text' END                                                        AS kind,
       is_opening OR coalesce(json_text(message, 'is_deleted') = 'true', false)    AS is_event,
       words                                                                       AS text,
       account                                                                     AS channel_account,
       person                                                                      AS user_id,
       CASE WHEN NOT is_echo THEN coalesce(carried_token(json_text(carrier, 'ref')), visit_token(words)) END AS token,
       CASE WHEN is_echo THEN NULL
            WHEN carried_token(json_text(carrier, 'ref')) IS NOT NULL THEN 'ok'
            ELSE coalesce(token_state(words), 'missing') END                       AS token_state,
       json_text(carrier, 'ref')                                                   AS link_ref,
       json_text(message, 'reply_to.mid')                                          AS reply_to,
       CASE WHEN json_text(carrier, 'source') = 'ADS' OR json_text(carrier, 'ad_id') IS NOT NULL THEN 'ad' END
                                                                                   AS ad_source_type,
       json_text(carrier, 'ad_id')                                                 AS ad_id,
       json_text(carrier, 'ads_context_data.ad_title')                             AS ad_headline
FROM carried
