-- A visit and the browser it was made with.
SELECT DISTINCT
       'visit'                                                                           AS left_type,
       'ga4:' || $account || ':' || user_pseudo_id || '.' || param_ga_session_id         AS left_value,
       'ga_client'                                                                       AS right_type,
       user_pseudo_id                                                                    AS right_value,
       'ga4_bigquery'                                                                    AS evidence
FROM events
WHERE user_pseudo_id IS NOT NULL AND param_ga_session_id IS NOT NULL AND event_timestamp IS NOT NULL
