-- A visitor's visits are one person's, without any counter on the site.
SELECT DISTINCT 'visit' AS left_type, 'site:' || visitor || ':' || bare_token(token) AS left_value,
       'site_visitor' AS right_type, visitor AS right_value, 'tracker' AS evidence
FROM events
WHERE list = 'events' AND bare_token(token) IS NOT NULL AND visitor IS NOT NULL AND kind <> 'consent'
