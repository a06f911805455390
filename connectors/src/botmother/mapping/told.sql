-- What a scenario told. The ids are the messenger's own.
WITH told AS (
    SELECT DISTINCT CASE platform WHEN 'tg' THEN 'telegram' WHEN 'fb' THEN 'facebook' ELSE platform END AS platform,
           coalesce(event, 'message') AS event, user_id, CAST(NULL AS VARCHAR) AS contact_name, username, phone, text AS words,
           csat, nullif(start_param, '') AS carrier,
           'botmother:' || $account || ':' || user_id || ':' || coalesce(ts, received_at) || ':' || coalesce(event, 'message') AS id,
           coalesce(parse_instant(ts, 'UTC'), parse_instant(received_at, 'UTC')) AS at
    FROM events
)
