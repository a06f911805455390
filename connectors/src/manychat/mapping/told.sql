-- What a flow told. ManyChat's own id of a subscriber is nobody's id in a messenger.
WITH told AS (
    SELECT DISTINCT 'manychat' AS platform, coalesce(event, 'message') AS event, subscriber_id AS user_id, name AS contact_name,
           CAST(NULL AS VARCHAR) AS username, phone, last_input_text AS words, csat, nullif(visit_id, '') AS carrier,
           $account || ':' || coalesce(event_id,
               subscriber_id || ':' || coalesce(ts, received_at) || ':' || coalesce(event, 'message')) AS id,
           coalesce(parse_instant(ts, 'UTC'), parse_instant(received_at, 'UTC')) AS at
    FROM events
)
