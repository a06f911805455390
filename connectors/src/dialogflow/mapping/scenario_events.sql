-- Intents as steps: entered, not understood, or handed to a person.
SELECT 'dialogflow:' || $account || ':' || id                                      AS event_id,
       at                                                                          AS at,
       $account                                                                    AS scenario,
       coalesce(page, intent)                                                      AS step,
       CASE WHEN tag = 'handoff' THEN 'escalated'
            WHEN intent IN ('Default Fallback Intent', 'Default Negative Intent') THEN 'fallback'
            ELSE 'entered' END                                                     AS kind,
       session                                                                     AS session_id,
       messenger                                                                   AS platform,
       messenger || ':' || $account || ':' || person                               AS conversation_id,
       person                                                                      AS user_id
FROM turns
WHERE coalesce(page, intent) IS NOT NULL
