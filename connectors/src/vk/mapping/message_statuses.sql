-- VK tells up to which message a person has read, and not when: our messages up to there are read at the
-- moment we were told first.
WITH seen AS (
    SELECT group_id, json_int(object, 'peer_id') AS peer_id, json_int(object, 'read_message_id') AS upto,
           min(parse_instant(received_at, 'UTC')) AS at
    FROM events
    WHERE type = 'message_read' AND json_int(object, 'from_id') = json_int(object, 'peer_id')
    GROUP BY group_id, json_int(object, 'peer_id'), json_int(object, 'read_message_id')
),
sent AS (
    SELECT DISTINCT group_id, json_int(object, 'id') AS id, json_int(object, 'peer_id') AS peer_id
    FROM events
    WHERE type = 'message_reply' AND json_int(object, 'id') > 0
)
SELECT 'vk'                                                                        AS platform,
       s.group_id || ':' || CAST(s.id AS VARCHAR)                                  AS message_id,
       'read'                                                                      AS status,
       min(r.at)                                                                   AS at,
       'vk:' || s.group_id || ':' || CAST(s.peer_id AS VARCHAR)                    AS conversation_id,
       s.group_id                                                                  AS channel_account,
       CAST(s.peer_id AS VARCHAR)                                                  AS user_id
FROM sent s
JOIN seen r ON r.group_id = s.group_id AND r.peer_id = s.peer_id AND r.upto >= s.id
GROUP BY s.group_id, s.id, s.peer_id
