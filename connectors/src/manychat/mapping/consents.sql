SELECT DISTINCT
       'manychat'                                                                  AS platform,
       subscriber_id                                                               AS user_id,
       coalesce(parse_instant(ts, 'UTC'), parse_instant(received_at, 'UTC'))       AS ts,
       CASE event WHEN 'unsubscribed' THEN 'opt_out' ELSE 'opt_in' END             AS action,
       'platform'                                                                  AS method,
       event                                                                       AS evidence
FROM events
WHERE event IN ('subscribed', 'unsubscribed')
