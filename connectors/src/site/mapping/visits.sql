-- Visits as the tracker saw them: one visitor with one token. What the first event of a visit says counts; an
-- event that came late or twice changes nothing.
WITH told AS (
    SELECT *,
           -- A browser's clock that is wrong by minutes is set right by the moment of receipt.
           CASE WHEN abs(ahead_ms) > 120000 THEN at - ahead_ms ELSE at END          AS at_ms
    FROM (
        SELECT *, sent - instant_us(parse_instant(received_at, 'UTC')) / 1000       AS ahead_ms
        FROM events
        WHERE list = 'events' AND bare_token(token) IS NOT NULL AND visitor IS NOT NULL AND kind <> 'consent'
    ) AS e
),
counted AS (
    SELECT *,
           row_number() OVER (PARTITION BY visitor, token ORDER BY (kind <> 'visit'), at_ms, id) AS n,
           min(at_ms) OVER (PARTITION BY visitor, token)                            AS first_ms,
           max(at_ms) OVER (PARTITION BY visitor, token)                            AS last_ms,
           max(ga_client_id) OVER (PARTITION BY visitor, token)                     AS ga,
           max(ym_client_id) OVER (PARTITION BY visitor, token)                     AS ym
    FROM told
),
pages AS (
    SELECT visitor, token, count(DISTINCT id) AS pages FROM told WHERE kind = 'page' GROUP BY visitor, token
)
SELECT 'site:' || c.visitor || ':' || bare_token(c.token)                          AS visit_id,
       unix_ms_to_instant(c.first_ms)                                              AS started_at,
       url_host(coalesce(c.landing, c.url))                                        AS account,
       bare_token(c.token)                                                         AS token,
       c.ym                                                                        AS ym_client_id,
       c.ga                                                                        AS ga_client_id,
       json_text(c.utm, 'source')                                                  AS source,
       json_text(c.utm, 'medium')                                                  AS medium,
       json_text(c.utm, 'campaign')                                                AS campaign,
       json_text(c.utm, 'content')                                                 AS ad,
       json_text(c.utm, 'term')                                                    AS keyword,
       nullif(c.referrer, '')                                                      AS referrer,
       coalesce(c.landing, c.url)                                                  AS entrance_page,
       coalesce(json_text(c.click_ids, 'yclid'), json_text(c.click_ids, 'ymclid')) AS yclid,
       coalesce(json_text(c.click_ids, 'gclid'), json_text(c.click_ids, 'gbraid'), json_text(c.click_ids, 'wbraid'))
                                                                                   AS gclid,
       json_text(c.click_ids, 'fbclid')                                            AS fbclid,
       CASE c.device WHEN 'mobile' THEN 'phone' ELSE c.device END                  AS device,
       c.os                                                                        AS os,
       c.screen                                                                    AS screen,
       c.language                                                                  AS language,
       p.pages                                                                     AS hits,
       (c.last_ms - c.first_ms) / 1000                                             AS duration_s
FROM counted c
LEFT JOIN pages p ON p.visitor = c.visitor AND p.token = c.token
WHERE c.n = 1
