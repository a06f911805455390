SELECT DISTINCT
       platform                                                                    AS platform,
       user_id                                                                     AS user_id,
       at                                                                          AS ts,
       CASE event WHEN 'unsubscribed' THEN 'opt_out' ELSE 'opt_in' END             AS action,
       'platform'                                                                  AS method,
       event                                                                       AS evidence
FROM told
WHERE event IN ('subscribed', 'unsubscribed')
