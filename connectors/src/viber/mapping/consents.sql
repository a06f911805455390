-- Subscriptions. Who writes is subscribed too, without an event of its own.
SELECT 'viber'                                                                     AS platform,
       coalesce(user_id, json_text("user", 'id'))                                  AS user_id,
       unix_ms_to_instant("timestamp")                                             AS ts,
       CASE event WHEN 'subscribed' THEN 'opt_in' ELSE 'opt_out' END               AS action,
       'platform'                                                                  AS method,
       message_token                                                               AS evidence
FROM events
WHERE event IN ('subscribed', 'unsubscribed')
UNION ALL
SELECT 'viber', user_id, unix_ms_to_instant("timestamp"), 'opt_in', 'platform', message_token
FROM (
    SELECT json_text(sender, 'id') AS user_id, "timestamp", message_token,
           row_number() OVER (PARTITION BY json_text(sender, 'id') ORDER BY "timestamp", message_token) AS n
    FROM events
    WHERE event = 'message'
) AS m
WHERE n = 1
