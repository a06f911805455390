-- Messenger tells the moment up to which all was delivered or read: every message sent until then is.
WITH sent AS (
    SELECT DISTINCT json_text(message, 'mid') AS mid, json_text(sender, 'id') AS account,
           json_text(recipient, 'id') AS person, CAST("timestamp" AS BIGINT) AS at_ms
    FROM events
    WHERE json_text(message, 'is_echo') = 'true' AND json_text(message, 'mid') IS NOT NULL
),
told AS (
    SELECT json_text(recipient, 'id') AS account, json_text(sender, 'id') AS person,
           CAST("timestamp" AS BIGINT) AS at_ms, 'delivered' AS status,
           json_int(delivery, 'watermark') AS upto_ms
    FROM events
    WHERE delivery IS NOT NULL
    UNION ALL
    SELECT json_text(recipient, 'id'), json_text(sender, 'id'), CAST("timestamp" AS BIGINT), 'read',
           json_int("read", 'watermark')
    FROM events
    WHERE "read" IS NOT NULL
),
named AS (
    SELECT json_text(recipient, 'id') AS account, json_text(sender, 'id') AS person,
           CAST("timestamp" AS BIGINT) AS at_ms, 'delivered' AS status,
           unnest(json_list(delivery, 'mids[*]')) AS mid
    FROM events
    WHERE delivery IS NOT NULL
),
reached AS (
    SELECT s.mid, s.account, s.person, t.status, t.at_ms
    FROM sent s
    JOIN told t ON t.account = s.account AND t.person = s.person AND t.upto_ms >= s.at_ms
    UNION ALL
    SELECT mid, account, person, status, at_ms FROM named
)
SELECT 'facebook'                                                                  AS platform,
       mid                                                                         AS message_id,
       status                                                                      AS status,
       unix_ms_to_instant(min(at_ms))                                              AS at,
       'facebook:' || account || ':' || person                                     AS conversation_id,
       account                                                                     AS channel_account,
       person                                                                      AS user_id
FROM reached
GROUP BY mid, status, account, person
