-- Pages, and clicks on messenger links.
SELECT DISTINCT
       'site:' || id                                                               AS hit_id,
       unix_ms_to_instant(CASE WHEN abs(ahead_ms) > 120000 THEN at - ahead_ms ELSE at END) AS at,
       url_host(coalesce(landing, url))                                            AS account,
       'site:' || visitor || ':' || bare_token(token)                              AS visit_id,
       ym_client_id                                                                AS ym_client_id,
       ga_client_id                                                                AS ga_client_id,
       CASE WHEN kind = 'click' THEN bare_token(token) END                         AS token,
       CASE kind WHEN 'click' THEN 'messenger_link' ELSE 'page' END                AS kind,
       CASE kind WHEN 'click' THEN json_text(link, 'href') ELSE url END            AS url,
       CASE kind WHEN 'click' THEN url ELSE nullif(referrer, '') END               AS referrer,
       title                                                                       AS title
FROM (
    SELECT *, sent - instant_us(parse_instant(received_at, 'UTC')) / 1000          AS ahead_ms,
           -- Sent again, it may have come at another moment.
           row_number() OVER (PARTITION BY id ORDER BY received_at)                AS n
    FROM events
    WHERE list = 'events' AND kind IN ('page', 'click') AND bare_token(token) IS NOT NULL AND visitor IS NOT NULL
) AS e
WHERE n = 1
