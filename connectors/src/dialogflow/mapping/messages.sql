-- Turns of a talk with an agent, ES and CX alike: what was asked, and what the agent answered where it says so.
WITH turns AS (
    SELECT DISTINCT
           coalesce("responseId", "detectIntentResponseId")                            AS id,
           coalesce(unix_to_instant(json_int("originalDetectIntentRequest", 'payload.data.date')),
                    parse_instant(received_at, 'UTC'))                                 AS at,
           -- CX: the session is named <messenger>-<user>, by agreement.
           coalesce(json_text("originalDetectIntentRequest", 'source'),
                    CASE split_part(last_part, '-', 1) WHEN 'tg' THEN 'telegram' WHEN 'fb' THEN 'facebook'
                         WHEN 'wa' THEN 'whatsapp' WHEN 'vk' THEN 'vk' WHEN 'viber' THEN 'viber' ELSE 'dialogflow' END) AS messenger,
           coalesce(json_text("originalDetectIntentRequest", 'payload.data.from.id'),
                    json_text("originalDetectIntentRequest", 'payload.data.sender.id'),
                    CASE WHEN split_part(last_part, '-', 1) IN ('tg', 'fb', 'wa', 'vk', 'viber')
                         THEN substr(last_part, position('-' IN last_part) + 1) ELSE last_part END) AS person,
           json_text("originalDetectIntentRequest", 'payload.data.from.username')      AS username,
           coalesce(json_text("queryResult", 'queryText'), text, transcript)           AS asked,
           nullif(json_text("queryResult", 'fulfillmentText'), '')                     AS answered,
           nullif(json_text("sessionInfo", 'parameters.visit_id'), '')                 AS carrier,
           coalesce(json_text("queryResult", 'intent.displayName'), json_text("intentInfo", 'displayName')) AS intent,
           json_text("pageInfo", 'displayName')                                        AS page,
           json_text("fulfillmentInfo", 'tag')                                         AS tag,
           last_part                                                                   AS session
    FROM (
        SELECT *,
               regexp_replace(coalesce(session, json_text("sessionInfo", 'session')), '^.*/', '') AS last_part
        FROM events
    ) AS e
    WHERE coalesce("responseId", "detectIntentResponseId") IS NOT NULL
),
read AS (
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
