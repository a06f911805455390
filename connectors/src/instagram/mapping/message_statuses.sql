-- Instagram tells which message was seen, and nothing of delivery: those sent before it were seen too.
WITH sent AS (
    SELECT DISTINCT json_text(message, 'mid') AS mid, json_text(sender, 'id') AS account,
           json_text(recipient, 'id') AS person, CAST("timestamp" AS BIGINT) AS at_ms
    FROM events
    WHERE json_text(message, 'is_echo') = 'true' AND json_text(message, 'mid') IS NOT NULL
),
seen AS (
    SELECT json_text(recipient, 'id') AS account, json_text(sender, 'id') AS person,
           CAST("timestamp" AS BIGINT) AS at_ms, json_text("read", 'mid') AS mid
    FROM events
    WHERE json_text("read", 'mid') IS NOT NULL
),
reached AS (
    SELECT s.mid, s.account, s.person, r.at_ms
    FROM seen r
    JOIN sent k ON k.mid = r.mid
    JOIN sent s ON s.account = r.account AND s.person = r.person AND s.at_ms <= k.at_ms
    UNION ALL
    SELECT r.mid, r.account, r.person, r.at_ms FROM seen r JOIN sent k ON k.mid = r.mid
)
SELECT 'instagram'                                                                 AS platform,
       mid                                                                         AS message_id,
       'read'                                                                      AS status,
       unix_ms_to_instant(min(at_ms))                                              AS at,
       'instagram:' || account || ':' || person                                    AS conversation_id,
       account                                                                     AS channel_account,
       person                                                                      AS user_id
FROM reached
GROUP BY mid, account, person
