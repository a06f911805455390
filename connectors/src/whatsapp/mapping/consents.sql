-- Stops and resumes of marketing messages.
WITH pairs AS (
    SELECT user_id, min(wa_id) AS wa_id
    FROM (SELECT user_id, wa_id FROM contacts
          UNION ALL
          SELECT from_user_id AS user_id, "from" AS wa_id FROM messages)
    WHERE user_id IS NOT NULL AND wa_id IS NOT NULL
    GROUP BY user_id
)
SELECT 'whatsapp'                                                                  AS platform,
       coalesce(u.wa_id, p.wa_id, u.user_id)                                       AS user_id,
       unix_to_instant(u."timestamp")                                              AS ts,
       CASE WHEN u.value = 'stop' THEN 'opt_out'
            WHEN u.value IN ('resume', 'signup') THEN 'opt_in'
       END                                                                         AS action,
       CASE WHEN u.value = 'signup' THEN 'link' ELSE 'platform' END                AS method,
       coalesce(u.signup_id, u.detail)                                             AS evidence
FROM user_preferences u
LEFT JOIN pairs p ON p.user_id = u.user_id
