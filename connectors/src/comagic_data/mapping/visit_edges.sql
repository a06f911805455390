-- A session, its visitor, and the browser it was made with.
SELECT 'visit' AS left_type, 'comagic:' || id AS left_value, 'comagic_user' AS right_type, visitor_id AS right_value,
       'comagic session' AS evidence
FROM sessions
WHERE visitor_id IS NOT NULL
UNION ALL
SELECT 'visit', 'comagic:' || id, 'ym_client', nullif(nullif(ym_client_id, ''), '0'), 'comagic session'
FROM sessions
WHERE nullif(nullif(ym_client_id, ''), '0') IS NOT NULL
UNION ALL
SELECT 'visit', 'comagic:' || id, 'ga_client', ua_client_id, 'comagic session'
FROM sessions
WHERE nullif(ua_client_id, '') IS NOT NULL
