-- Answers to a customer feedback template: scores and words by the names of our own questions. Only a CSAT is a score
-- from 1 to 5; what people answered to NPS (0 to 10) and CES (1 to 7) stays in the event.
WITH told AS (
    SELECT DISTINCT json_text(sender, 'id') AS person, json_text(recipient, 'id') AS account,
           CAST("timestamp" AS BIGINT) AS at_ms,
           json_list(messaging_feedback, 'feedback_screens[*].questions.*') AS questions
    FROM events
    WHERE messaging_feedback IS NOT NULL AND coalesce(object, $object) = $object
),
answers AS (
    SELECT person, account, at_ms, unnest(questions) AS answer FROM told
),
scored AS (
    SELECT person, account, at_ms,
           -- Of several the lowest: one bad answer is what somebody should see.
           min(CASE WHEN json_text(answer, 'type') = 'csat' AND json_int(answer, 'payload') BETWEEN 1 AND 5
                    THEN json_int(answer, 'payload') END)                          AS csat,
           min(CASE WHEN json_text(answer, 'type') = 'free_form' THEN nullif(json_text(answer, 'payload'), '')
                    ELSE nullif(json_text(answer, 'follow_up.payload'), '') END)   AS words
    FROM answers
    WHERE person IS NOT NULL AND account IS NOT NULL
    GROUP BY person, account, at_ms
)
SELECT $platform                                                                   AS platform,
       'review:' || account || ':' || person || ':' || CAST(at_ms AS VARCHAR)      AS message_id,
       $platform || ':' || account || ':' || person                                AS conversation_id,
       unix_ms_to_instant(at_ms)                                                   AS ts,
       'in'                                                                        AS direction,
       'customer'                                                                  AS sender_kind,
       'review'                                                                    AS kind,
       false                                                                       AS is_event,
       words                                                                       AS text,
       account                                                                     AS channel_account,
       person                                                                      AS user_id,
       'missing'                                                                   AS token_state,
       csat                                                                        AS csat
FROM scored
