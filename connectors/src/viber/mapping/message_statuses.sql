-- What became of messages we sent. Of several devices the first counts; a failure names no device.
SELECT 'viber'                                                                     AS platform,
       message_token                                                               AS message_id,
       CASE event WHEN 'seen' THEN 'read' ELSE event END                           AS status,
       unix_ms_to_instant(min("timestamp"))                                        AS at,
       'viber:' || $account || ':' || user_id                                      AS conversation_id,
       $account                                                                    AS channel_account,
       user_id                                                                     AS user_id,
       min("desc")                                                                 AS failed_reason
FROM events
WHERE event IN ('delivered', 'seen', 'failed')
GROUP BY message_token, event, user_id
