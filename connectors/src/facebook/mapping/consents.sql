-- Marketing messages that people asked for, stopped and resumed.
SELECT DISTINCT
       'facebook'                                                                  AS platform,
       json_text(sender, 'id')                                                     AS user_id,
       unix_ms_to_instant(CAST("timestamp" AS BIGINT))                             AS ts,
       CASE WHEN starts_with(upper(json_text(optin, 'notification_messages_status')), 'STOP') THEN 'opt_out'
            ELSE 'opt_in' END                                                      AS action,
       'button'                                                                    AS method,
       'optin:' || json_text(optin, 'type')                                        AS evidence
FROM events
WHERE json_text(optin, 'type') = 'notification_messages' AND json_text(sender, 'id') IS NOT NULL
