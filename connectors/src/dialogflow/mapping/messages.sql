-- What was asked, and what the agent answered where it says so.
, read AS (
    SELECT *,
           CASE WHEN regexp_like(asked, '^/start(@\w+)?\s+[A-Za-z0-9_-]{1,64}$')
                THEN regexp_replace(asked, '^/start(@\w+)?\s+', '') ELSE carrier END AS link
    FROM turns
)
SELECT messenger                                                                   AS platform,
       'dialogflow:' || $account || ':' || id                                      AS message_id,
       messenger || ':' || $account || ':' || person                               AS conversation_id,
       at                                                                          AS ts,
       'in'                                                                        AS direction,
       'customer'                                                                  AS sender_kind,
       'text'                                                                      AS kind,
       asked IS NULL                                                               AS is_event,
       asked                                                                       AS text,
       $account                                                                    AS channel_account,
       person                                                                      AS user_id,
       username                                                                    AS username,
       coalesce(carried_token(link), visit_token(asked))                           AS token,
       CASE WHEN carried_token(link) IS NOT NULL THEN 'ok' ELSE coalesce(token_state(asked), 'missing') END AS token_state,
       link                                                                        AS link_ref,
       coalesce(tag = 'handoff', false)                                            AS bot_handover
FROM read
UNION ALL
SELECT messenger, 'dialogflow:' || $account || ':' || id || ':answer', messenger || ':' || $account || ':' || person, at,
       'out', 'bot', 'text', false, answered, $account, person, NULL, NULL, NULL, NULL, false
FROM read
WHERE answered IS NOT NULL
