-- Hits of the Logs API: page views, link clicks, downloads and other events.
SELECT 'ym:' || $counter || ':' || "ym:pv:watchID"                                AS hit_id,
       parse_instant("ym:pv:dateTime", time_zone)                                 AS at,
       $counter                                                                   AS account,
       -- visitID is unique within a year only. A visit that began in the year before is not found.
       CASE WHEN nullif(nullif("ym:pv:visitID", ''), '0') IS NOT NULL
                THEN 'ym:' || $counter || ':' || substr("ym:pv:dateTime", 1, 4) || ':' || "ym:pv:visitID"
       END                                                                        AS visit_id,
       nullif(nullif("ym:pv:clientID", ''), '0')                                  AS ym_client_id,
       -- A link to a messenger carries the token in its text or its hidden parameter.
       CASE WHEN "ym:pv:link" = 1
                THEN coalesce(visit_token(url_param("ym:pv:URL", 'text')),
                              bare_token(url_param("ym:pv:URL", 'start')),
                              bare_token(url_param("ym:pv:URL", 'ref')),
                              bare_token(url_param("ym:pv:URL", 'context')))
       END                                                                        AS token,
       CASE WHEN "ym:pv:isPageView" = 1 THEN 'page'
            WHEN "ym:pv:download" = 1 THEN 'download'
            WHEN "ym:pv:link" = 1
                 AND (starts_with("ym:pv:URL", 'whatsapp:')
                      OR starts_with("ym:pv:URL", 'tg:')
                      OR starts_with("ym:pv:URL", 'viber:')
                      OR url_host("ym:pv:URL") IN ('wa.me', 'api.whatsapp.com', 'web.whatsapp.com', 't.me',
                                                   'telegram.me', 'vk.me', 'm.me', 'ig.me'))
                THEN 'messenger_link'
            WHEN "ym:pv:link" = 1 THEN 'link'
            ELSE 'event'
       END                                                                        AS kind,
       nullif("ym:pv:URL", '')                                                    AS url,
       nullif("ym:pv:referer", '')                                                AS referrer,
       nullif("ym:pv:title", '')                                                  AS title
FROM hits
