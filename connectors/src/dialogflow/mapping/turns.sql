-- Turns of a talk with an agent, ES and CX alike.
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
)
