-- Every event of a browser. Events that a tag sends in one batch may agree in all that names them but their place.
WITH placed AS (
    SELECT *,
           row_number() OVER (PARTITION BY user_pseudo_id, event_timestamp, event_name, batch_page_id,
                                           batch_ordering_id, batch_event_index
                              ORDER BY coalesce(param_page_location, ''), coalesce(param_link_url, ''),
                                       coalesce(event_params, ''))                       AS same_n
    FROM events
    WHERE user_pseudo_id IS NOT NULL AND event_timestamp IS NOT NULL
)
SELECT 'ga4:' || $account || ':' || user_pseudo_id || ':' || CAST(event_timestamp AS VARCHAR) || ':'
           || coalesce(event_name, '') || ':' || coalesce(CAST(batch_page_id AS VARCHAR), '') || '.'
           || coalesce(CAST(batch_ordering_id AS VARCHAR), '') || '.'
           || coalesce(CAST(batch_event_index AS VARCHAR), '')
           || CASE WHEN same_n > 1 THEN ':' || CAST(same_n AS VARCHAR) ELSE '' END       AS hit_id,
       arrow_cast(event_timestamp, 'Timestamp(Microsecond, Some("UTC"))')                AS at,
       $account                                                                          AS account,
       CASE WHEN param_ga_session_id IS NOT NULL
                THEN 'ga4:' || $account || ':' || user_pseudo_id || '.' || param_ga_session_id
       END                                                                               AS visit_id,
       user_pseudo_id                                                                    AS ga_client_id,
       -- A link to a messenger carries the token in its text or its hidden parameter.
       coalesce(visit_token(url_param(param_link_url, 'text')),
                bare_token(url_param(param_link_url, 'start')),
                bare_token(url_param(param_link_url, 'ref')),
                bare_token(url_param(param_link_url, 'context')))                        AS token,
       CASE WHEN event_name IN ('page_view', 'screen_view') THEN 'page'
            WHEN event_name = 'file_download' THEN 'download'
            WHEN param_link_url IS NOT NULL
                 AND (starts_with(param_link_url, 'whatsapp:')
                      OR starts_with(param_link_url, 'tg:')
                      OR starts_with(param_link_url, 'viber:')
                      OR url_host(param_link_url) IN ('wa.me', 'api.whatsapp.com', 'web.whatsapp.com', 't.me',
                                                      'telegram.me', 'vk.me', 'm.me', 'ig.me'))
                THEN 'messenger_link'
            WHEN event_name = 'click' THEN 'link'
            ELSE 'event'
       END                                                                               AS kind,
       coalesce(param_link_url, param_page_location)                                     AS url,
       nullif(param_page_referrer, '')                                                   AS referrer,
       nullif(param_page_title, '')                                                      AS title
FROM placed
