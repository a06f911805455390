-- What a flow told. It carries no time and no id: the moment of receipt is both.
WITH told AS (
    SELECT DISTINCT 'facebook' AS platform, coalesce(event, 'message') AS event, "messenger user id" AS user_id,
           nullif(trim(concat("first name", ' ', "last name")), '') AS contact_name, CAST(NULL AS VARCHAR) AS username, phone,
           "last user freeform input" AS words, csat, nullif(ref, '') AS carrier,
           'chatfuel:' || $account || ':' || "messenger user id" || ':' || received_at || ':' || coalesce(event, 'message') AS id,
           parse_instant(received_at, 'UTC') AS at
    FROM events
)
