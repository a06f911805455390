-- Messages of customers, and chats opened by a link. The link's context comes with the opening alone: the
-- first message within a day of it carries it on.
WITH said AS (
    SELECT DISTINCT event, message_token, message, nullif(context, '') AS context, "timestamp",
           coalesce(sender, "user") AS person,
           json_text(coalesce(sender, "user"), 'id') AS user_id
    FROM events
    WHERE event IN ('message', 'conversation_started')
),
counted AS (
    SELECT *,
           coalesce(sum(CASE WHEN event = 'message' THEN 1 ELSE 0 END) OVER (
               PARTITION BY user_id ORDER BY "timestamp", message_token
               ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS messages_before
    FROM said
),
told AS (
    SELECT event, message_token, message, person, user_id, "timestamp",
           first_value(context) OVER newest AS last_context,
           first_value("timestamp") OVER newest AS context_at,
           context,
           json_text(message, 'text') AS words
    FROM counted
    WINDOW newest AS (PARTITION BY user_id, messages_before ORDER BY (context IS NULL), "timestamp" DESC)
),
carried AS (
    SELECT *,
           CASE WHEN event = 'conversation_started' THEN context
                WHEN last_context IS NOT NULL AND "timestamp" - context_at BETWEEN 0 AND 86400000 THEN last_context
           END AS carrier
    FROM told
)
SELECT 'viber'                                                                     AS platform,
       message_token                                                               AS message_id,
       'viber:' || $account || ':' || user_id                                      AS conversation_id,
       unix_ms_to_instant("timestamp")                                             AS ts,
       'in'                                                                        AS direction,
       'customer'                                                                  AS sender_kind,
       CASE WHEN event = 'conversation_started' THEN 'opened'
            ELSE CASE json_text(message, 'type') WHEN 'picture' THEN 'image' WHEN 'file' THEN 'document'
                      WHEN 'url' THEN 'text' ELSE coalesce(json_text(message, 'type'), 'unknown') END
       END                                                                         AS kind,
       event = 'conversation_started'                                              AS is_event,
       words                                                                       AS text,
       $account                                                                    AS channel_account,
       user_id                                                                     AS user_id,
       json_text(person, 'name')                                                   AS contact_name,
       coalesce(carried_token(carrier), visit_token(words))                        AS token,
       CASE WHEN carried_token(carrier) IS NOT NULL THEN 'ok'
            WHEN event = 'message' THEN coalesce(token_state(words), 'missing')
            ELSE 'missing'
       END                                                                         AS token_state,
       carrier                                                                     AS link_ref
FROM carried
