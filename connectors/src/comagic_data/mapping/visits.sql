-- Sessions of CoMagic's own counter.
SELECT 'comagic:' || id                                                            AS visit_id,
       parse_instant(date_time, $time_zone)                                        AS started_at,
       site_domain_name                                                            AS account,
       nullif(nullif(ym_client_id, ''), '0')                                       AS ym_client_id,
       nullif(ua_client_id, '')                                                    AS ga_client_id,
       CASE channel
           WHEN 'display' THEN 'ad'
           WHEN 'paid' THEN 'ad'
           WHEN 'affiliate' THEN 'referral'
           WHEN 'recommendation' THEN 'recommend'
           WHEN 'cashed' THEN 'saved'
           ELSE nullif(channel, '')
       END                                                                         AS traffic_type,
       coalesce(nullif(utm_source, ''), nullif(engine, ''), nullif(search_engine, ''), nullif(referrer_domain, ''))
                                                                                   AS source,
       coalesce(nullif(utm_medium, ''), nullif(channel, ''))                       AS medium,
       coalesce(nullif(utm_campaign, ''), nullif(campaign_name, ''))               AS campaign,
       nullif(utm_content, '')                                                     AS ad,
       nullif(utm_term, '')                                                        AS keyword,
       nullif(search_query, '')                                                    AS search_query,
       nullif(referrer, '')                                                        AS referrer,
       nullif(entrance_page, '')                                                   AS entrance_page,
       coalesce(nullif(yclid, ''), url_param(entrance_page, 'yclid'))              AS yclid,
       coalesce(nullif(gclid, ''), url_param(entrance_page, 'gclid'))              AS gclid,
       url_param(entrance_page, 'fbclid')                                          AS fbclid,
       nullif(visitor_region, '')                                                  AS region,
       nullif(visitor_city, '')                                                    AS city,
       nullif(visitor_country, '')                                                 AS country,
       CASE visitor_device WHEN 'mobile' THEN 'phone' WHEN 'desktop' THEN 'desktop' WHEN 'tablet' THEN 'tablet' END
                                                                                   AS device,
       nullif(visitor_os_name, '')                                                 AS os,
       nullif(visitor_os_version, '')                                              AS os_version,
       nullif(visitor_browser_name, '')                                            AS browser,
       nullif(visitor_screen, '')                                                  AS screen,
       nullif(visitor_language, '')                                                AS language,
       hits_count                                                                  AS hits,
       duration                                                                    AS duration_s
FROM sessions
