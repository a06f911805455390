-- Messages allowed and refused. VK does not say when: the moment we were told.
SELECT 'vk'                                                                        AS platform,
       json_text(object, 'user_id')                                                AS user_id,
       min(parse_instant(received_at, 'UTC'))                                      AS ts,
       CASE type WHEN 'message_allow' THEN 'opt_in' ELSE 'opt_out' END             AS action,
       'platform'                                                                  AS method,
       event_id                                                                    AS evidence
FROM events
WHERE type IN ('message_allow', 'message_deny')
GROUP BY json_text(object, 'user_id'), type, event_id
