-- Messages as they were told: one object under a newer version of the API, the message itself under older ones.
WITH told AS (
    SELECT type AS event, event_id, group_id, CAST(NULL AS VARCHAR) AS name,
           CASE WHEN type = 'message_new' THEN coalesce(json_text(object, 'message'), object) ELSE object END AS m
    FROM events
    WHERE type IN ('message_new', 'message_reply', 'message_edit')
),
