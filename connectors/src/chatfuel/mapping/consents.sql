SELECT DISTINCT
       'facebook'                                                                  AS platform,
       "messenger user id"                                                         AS user_id,
       parse_instant(received_at, 'UTC')                                           AS ts,
       CASE event WHEN 'unsubscribed' THEN 'opt_out' ELSE 'opt_in' END             AS action,
       'platform'                                                                  AS method,
       event                                                                       AS evidence
FROM events
WHERE event IN ('subscribed', 'unsubscribed')
