-- Messages as the history of conversations has them, in the form in which they would have been told.
WITH told AS (
    SELECT CASE WHEN json_int(h.object, 'out') = 1 OR json_int(h.object, 'from_id') < 0
                THEN 'message_reply' ELSE 'message_new' END                        AS event,
           CAST(NULL AS VARCHAR) AS event_id, h.group_id,
           nullif(trim(concat(u.first_name, ' ', u.last_name)), '')                AS name,
           h.object AS m
    FROM messages AS h LEFT JOIN users AS u ON u.user_id = json_int(h.object, 'from_id')
),
