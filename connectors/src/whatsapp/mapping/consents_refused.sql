-- A message refused because its recipient had stopped marketing messages (131050): the second sign of it.
WITH pairs AS (
    SELECT user_id, min(wa_id) AS wa_id
    FROM (SELECT user_id, wa_id FROM contacts
          UNION ALL
          SELECT from_user_id AS user_id, "from" AS wa_id FROM messages)
    WHERE user_id IS NOT NULL AND wa_id IS NOT NULL
    GROUP BY user_id
)
SELECT 'whatsapp'                                                                  AS platform,
       coalesce(s.recipient_id, p.wa_id, s.recipient_user_id)                      AS user_id,
       unix_to_instant(s."timestamp")                                              AS ts,
       'opt_out'                                                                   AS action,
       'platform'                                                                  AS method,
       s.id                                                                        AS evidence
FROM statuses s
LEFT JOIN pairs p ON p.user_id = s.recipient_user_id
WHERE json_text(s.errors, '[0].code') = '131050'
  AND s.recipient_type IS DISTINCT FROM 'group'
