-- A visit is a session: events of one browser with one ga_session_id, however many days they stand in.
WITH told AS (
    SELECT *,
           coalesce(bare_token(event_token), bare_token(user_token),
                    bare_token(url_param(param_page_location, $token_param)))          AS token,
           coalesce(json_text(collected_traffic_source, 'manual_source'),
                    json_text(collected_traffic_source, 'manual_medium'),
                    json_text(collected_traffic_source, 'manual_campaign_name')) IS NOT NULL
                                                                                       AS is_marked,
           coalesce(json_text(collected_traffic_source, 'gclid'),
                    url_param(param_page_location, 'gclid'))                           AS click_id
    FROM events
    WHERE user_pseudo_id IS NOT NULL AND param_ga_session_id IS NOT NULL AND event_timestamp IS NOT NULL
),
ordered AS (
    SELECT *,
           row_number() OVER (PARTITION BY user_pseudo_id, param_ga_session_id
                              ORDER BY event_timestamp, coalesce(batch_page_id, 0), coalesce(batch_ordering_id, 0),
                                       coalesce(batch_event_index, 0), event_name <> 'session_start') AS n
    FROM told
),
-- The first event that tells a thing is the one that counts for it.
placed AS (
    SELECT *,
           min(CASE WHEN param_page_location IS NOT NULL THEN n END)
               OVER (PARTITION BY user_pseudo_id, param_ga_session_id) AS page_n,
           min(CASE WHEN token IS NOT NULL THEN n END)
               OVER (PARTITION BY user_pseudo_id, param_ga_session_id) AS token_n,
           min(CASE WHEN is_marked THEN n END)
               OVER (PARTITION BY user_pseudo_id, param_ga_session_id) AS marked_n,
           min(CASE WHEN click_id IS NOT NULL THEN n END)
               OVER (PARTITION BY user_pseudo_id, param_ga_session_id) AS click_n,
           min(CASE WHEN session_traffic_source_last_click IS NOT NULL THEN n END)
               OVER (PARTITION BY user_pseudo_id, param_ga_session_id) AS last_n,
           min(CASE WHEN device IS NOT NULL THEN n END)
               OVER (PARTITION BY user_pseudo_id, param_ga_session_id) AS device_n,
           min(CASE WHEN geo IS NOT NULL THEN n END)
               OVER (PARTITION BY user_pseudo_id, param_ga_session_id) AS geo_n
    FROM ordered
),
sessions AS (
    SELECT user_pseudo_id, param_ga_session_id,
           min(event_timestamp)                                                         AS first_us,
           max(event_timestamp)                                                         AS last_us,
           max(CASE WHEN n = page_n THEN param_page_location END)                       AS page,
           max(CASE WHEN n = page_n THEN param_page_referrer END)                       AS referrer,
           max(CASE WHEN n = token_n THEN token END)                                    AS token,
           max(CASE WHEN n = marked_n THEN collected_traffic_source END)                AS marks,
           max(CASE WHEN n = click_n THEN click_id END)                                 AS gclid,
           max(CASE WHEN n = last_n THEN session_traffic_source_last_click END)         AS last_click,
           max(CASE WHEN n = device_n THEN device END)                                  AS device,
           max(CASE WHEN n = geo_n THEN geo END)                                        AS geo,
           min(CASE WHEN param_ga_session_number = '1' THEN 1 WHEN param_ga_session_number IS NOT NULL THEN 0 END)
                                                                                        AS is_first,
           sum(CASE WHEN event_name IN ('page_view', 'screen_view') THEN 1 ELSE 0 END)  AS pages
    FROM placed
    GROUP BY user_pseudo_id, param_ga_session_id
),
-- Marks of the session's own addresses first, whole; else the session's source as Google tells it.
sourced AS (
    SELECT *,
           CASE WHEN marks IS NOT NULL THEN json_text(marks, 'manual_source')
                ELSE coalesce(nullif(json_text(last_click, 'cross_channel_campaign.source'), '(not set)'),
                              json_text(last_click, 'manual_campaign.source')) END       AS source_text,
           CASE WHEN marks IS NOT NULL THEN json_text(marks, 'manual_medium')
                ELSE coalesce(nullif(json_text(last_click, 'cross_channel_campaign.medium'), '(not set)'),
                              json_text(last_click, 'manual_campaign.medium')) END       AS medium_text,
           CASE WHEN marks IS NOT NULL THEN json_text(marks, 'manual_campaign_name')
                ELSE coalesce(nullif(json_text(last_click, 'google_ads_campaign.campaign_name'), '(not set)'),
                              nullif(json_text(last_click, 'cross_channel_campaign.campaign_name'), '(not set)'),
                              json_text(last_click, 'manual_campaign.campaign_name')) END AS campaign_text,
           CASE WHEN marks IS NOT NULL THEN json_text(marks, 'manual_content')
                ELSE json_text(last_click, 'manual_campaign.content') END                AS ad_text,
           CASE WHEN marks IS NOT NULL THEN json_text(marks, 'manual_term')
                ELSE json_text(last_click, 'manual_campaign.term') END                   AS keyword_text,
           coalesce(json_text(marks, 'manual_campaign_id'),
                    json_text(last_click, 'google_ads_campaign.campaign_id'),
                    json_text(last_click, 'cross_channel_campaign.campaign_id'))         AS campaign_id_text,
           json_text(last_click, 'google_ads_campaign.ad_group_id')                      AS adgroup_id_text
    FROM sessions
),
-- What stands in brackets is Google's word for nothing: (direct), (none), (not set), (organic).
named AS (
    SELECT *,
           CASE WHEN starts_with(source_text, '(') THEN NULL ELSE nullif(source_text, '') END AS source,
           CASE WHEN starts_with(medium_text, '(') THEN NULL ELSE lower(nullif(medium_text, '')) END AS medium_word
    FROM sourced
)
SELECT 'ga4:' || $account || ':' || user_pseudo_id || '.' || param_ga_session_id          AS visit_id,
       arrow_cast(first_us, 'Timestamp(Microsecond, Some("UTC"))')                       AS started_at,
       $account                                                                          AS account,
       token,
       user_pseudo_id                                                                    AS ga_client_id,
       CASE WHEN medium_word IN ('cpc', 'ppc', 'cpm', 'cpv', 'cpa', 'cpp', 'display', 'banner', 'paid', 'retargeting')
                 OR starts_with(medium_word, 'paid') THEN 'ad'
            WHEN medium_word IN ('organic', 'social', 'messenger', 'referral', 'email') THEN medium_word
            WHEN source IS NULL AND medium_word IS NULL THEN 'direct'
            ELSE 'undefined'
       END                                                                               AS traffic_type,
       source,
       CASE WHEN starts_with(medium_text, '(') THEN NULL ELSE nullif(medium_text, '') END AS medium,
       CASE WHEN starts_with(campaign_id_text, '(') THEN NULL ELSE nullif(campaign_id_text, '') END AS campaign_id,
       CASE WHEN starts_with(campaign_text, '(') THEN NULL ELSE nullif(campaign_text, '') END AS campaign,
       CASE WHEN starts_with(adgroup_id_text, '(') THEN NULL ELSE nullif(adgroup_id_text, '') END AS adgroup_id,
       CASE WHEN starts_with(ad_text, '(') THEN NULL ELSE nullif(ad_text, '') END        AS ad,
       CASE WHEN starts_with(keyword_text, '(') THEN NULL ELSE nullif(keyword_text, '') END AS keyword,
       nullif(referrer, '')                                                              AS referrer,
       page                                                                              AS entrance_page,
       url_param(page, 'yclid')                                                          AS yclid,
       gclid,
       url_param(page, 'fbclid')                                                         AS fbclid,
       nullif(json_text(geo, 'region'), '')                                              AS region,
       nullif(json_text(geo, 'city'), '')                                                AS city,
       nullif(json_text(geo, 'country'), '')                                             AS country,
       CASE lower(json_text(device, 'category'))
           WHEN 'desktop' THEN 'desktop'
           WHEN 'mobile' THEN 'phone'
           WHEN 'tablet' THEN 'tablet'
           WHEN 'smart tv' THEN 'tv'
       END                                                                               AS device,
       nullif(json_text(device, 'operating_system'), '')                                 AS os,
       nullif(json_text(device, 'operating_system_version'), '')                         AS os_version,
       nullif(coalesce(json_text(device, 'web_info.browser'), json_text(device, 'browser')), '') AS browser,
       nullif(json_text(device, 'language'), '')                                         AS language,
       is_first = 1                                                                      AS is_new_visitor,
       pages                                                                             AS hits,
       CAST((last_us - first_us) / 1000000 AS BIGINT)                                    AS duration_s
FROM named
