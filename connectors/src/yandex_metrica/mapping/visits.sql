-- Visits of the Logs API. <attribution> is the model that the option `attribution` names.
SELECT 'ym:' || $counter || ':' || substr("ym:s:dateTime", 1, 4) || ':' || "ym:s:visitID" AS visit_id,
       -- dateTimeUTC is UTC+3, whatever its name says.
       coalesce(parse_instant("ym:s:dateTimeUTC", '+03:00'),
                parse_instant("ym:s:dateTime", time_zone))                         AS started_at,
       $counter                                                                   AS account,
       coalesce(bare_token(json_list("ym:s:parsedParamsKey2", '[*]')[
                    CAST(array_position(json_list("ym:s:parsedParamsKey1", '[*]'), $token_param) AS BIGINT)]),
                bare_token(url_param("ym:s:startURL", $token_param)))             AS token,
       nullif(nullif("ym:s:clientID", ''), '0')                                   AS ym_client_id,
       nullif("ym:s:<attribution>TrafficSource", '')                              AS traffic_type,
       coalesce(nullif("ym:s:<attribution>UTMSource", ''),
                nullif(CASE "ym:s:<attribution>TrafficSource"
                           WHEN 'ad' THEN "ym:s:<attribution>AdvEngine"
                           WHEN 'organic' THEN "ym:s:<attribution>SearchEngineRoot"
                           WHEN 'social' THEN "ym:s:<attribution>SocialNetwork"
                           WHEN 'messenger' THEN
                               CASE WHEN starts_with("ym:s:<attribution>Messenger", '[')
                                        THEN array_to_string(json_list("ym:s:<attribution>Messenger", '[*]'), ',')
                                    ELSE "ym:s:<attribution>Messenger" END
                           WHEN 'recommend' THEN
                               CASE WHEN starts_with("ym:s:<attribution>RecommendationSystem", '[')
                                        THEN array_to_string(
                                                 json_list("ym:s:<attribution>RecommendationSystem", '[*]'), ',')
                                    ELSE "ym:s:<attribution>RecommendationSystem" END
                           WHEN 'referral' THEN
                               coalesce(nullif("ym:s:<attribution>ReferalSource", ''), url_host("ym:s:referer"))
                       END, ''))                                                  AS source,
       coalesce(nullif("ym:s:<attribution>UTMMedium", ''),
                nullif("ym:s:<attribution>TrafficSource", ''))                    AS medium,
       nullif(nullif("ym:s:<attribution>DirectClickOrder", ''), '0')              AS campaign_id,
       coalesce(nullif("ym:s:<attribution>UTMCampaign", ''),
                nullif("ym:s:<attribution>DirectClickOrderName", ''),
                nullif(nullif("ym:s:<attribution>DirectClickOrder", ''), '0'))    AS campaign,
       nullif(nullif("ym:s:<attribution>DirectBannerGroup", ''), '0')             AS adgroup_id,
       nullif(nullif("ym:s:<attribution>DirectClickBanner", ''), '0')             AS ad_id,
       coalesce(nullif("ym:s:<attribution>UTMContent", ''),
                nullif("ym:s:<attribution>DirectClickBannerName", ''),
                nullif(nullif("ym:s:<attribution>DirectClickBanner", ''), '0'))   AS ad,
       coalesce(nullif("ym:s:<attribution>UTMTerm", ''),
                nullif("ym:s:<attribution>DirectPhraseOrCond", ''))               AS keyword,
       nullif("ym:s:referer", '')                                                 AS referrer,
       nullif("ym:s:startURL", '')                                                AS entrance_page,
       url_param("ym:s:startURL", 'yclid')                                        AS yclid,
       coalesce(nullif("ym:s:<attribution>GCLID", ''),
                url_param("ym:s:startURL", 'gclid'))                              AS gclid,
       url_param("ym:s:startURL", 'fbclid')                                       AS fbclid,
       nullif("ym:s:regionCity", '')                                              AS city,
       nullif("ym:s:regionCountry", '')                                           AS country,
       CASE "ym:s:deviceCategory"
           WHEN '1' THEN 'desktop'
           WHEN '2' THEN 'phone'
           WHEN '3' THEN 'tablet'
           WHEN '4' THEN 'tv'
       END                                                                        AS device,
       nullif("ym:s:operatingSystemRoot", '')                                     AS os,
       nullif("ym:s:operatingSystem", '')                                         AS os_version,
       nullif("ym:s:browser", '')                                                 AS browser,
       CASE WHEN "ym:s:screenWidth" > 0 AND "ym:s:screenHeight" > 0
                THEN CAST("ym:s:screenWidth" AS VARCHAR) || 'x' || CAST("ym:s:screenHeight" AS VARCHAR)
       END                                                                        AS screen,
       nullif("ym:s:browserLanguage", '')                                         AS language,
       "ym:s:isNewUser" = 1                                                       AS is_new_visitor,
       "ym:s:pageViews"                                                           AS hits,
       "ym:s:visitDuration"                                                       AS duration_s
FROM visits
