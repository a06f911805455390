-- An entry that repeats the value before it changed nothing. Each deal brings its own history, which is put in
-- order by itself: all histories together would have to be sorted on disk.
WITH people AS (
    SELECT user_id, min(id) AS id
    FROM (
        SELECT id, "userId" AS user_id FROM owners
        UNION ALL
        SELECT id, coalesce("userIdIncludingInactive", "userId") AS user_id FROM archived_owners
    ) o
    WHERE user_id IS NOT NULL
    GROUP BY user_id
),
-- The three together, so that the histories, which are most of what a deal holds, are read once.
histories AS (
    SELECT id, unnest(make_array('dealstage', 'hubspot_owner_id', 'amount')) AS property,
           unnest(make_array(
               json_by_time("propertiesWithHistory", 'dealstage[*]', 'timestamp'),
               json_by_time("propertiesWithHistory", 'hubspot_owner_id[*]', 'timestamp'),
               json_by_time("propertiesWithHistory", 'amount[*]', 'timestamp')
           )) AS entries
    FROM deals
),
-- Each entry beside the one before it. The first has none: a deal has a stage and an owner from the beginning, and
-- that is its creation, told below.
pairs AS (
    SELECT id, property, unnest(entries) AS earlier, unnest(array_pop_front(entries)) AS item FROM histories
),
moves AS (
    SELECT id, property, coalesce(json_text(earlier, 'value'), '') AS before,
           coalesce(json_text(item, 'value'), '') AS value, json_text(item, 'timestamp') AS stamp,
           json_text(item, 'updatedByUserId') AS user_id
    FROM pairs
    WHERE item IS NOT NULL
),
changes AS (
    SELECT id, property, value, stamp, user_id, before
    FROM moves
    WHERE before <> value AND parse_instant(stamp, 'UTC') IS NOT NULL
)
SELECT 'hubspot:' || $hub_id || ':' || c.id || ':' || c.property || ':' || c.stamp      AS event_id,
       'hubspot:' || $hub_id || ':' || c.id                                            AS deal_id,
       parse_instant(c.stamp, 'UTC')                                                   AS at,
       CASE c.property
           WHEN 'dealstage' THEN 'status_changed'
           WHEN 'amount' THEN 'value_changed'
           ELSE 'owner_changed'
       END                                                                             AS kind,
       CASE WHEN c.property = 'dealstage' THEN c.before END                            AS status_before,
       CASE WHEN c.property = 'dealstage' THEN c.value END                             AS status_after,
       'hubspot:' || $hub_id || ':' || p.id                                            AS operator_id
FROM people p
RIGHT JOIN changes c ON p.user_id = c.user_id
UNION ALL
SELECT 'hubspot:' || $hub_id || ':' || id || ':created',
       'hubspot:' || $hub_id || ':' || id,
       coalesce(parse_instant(json_text(properties, 'createdate'), 'UTC'), parse_instant("createdAt", 'UTC')),
       'created',
       NULL,
       NULL,
       NULL
FROM deals
UNION ALL
SELECT 'hubspot:' || $hub_id || ':' || id || ':deleted:' || "archivedAt",
       'hubspot:' || $hub_id || ':' || id,
       parse_instant("archivedAt", 'UTC'),
       'deleted',
       NULL,
       NULL,
       NULL
FROM archived_deals
WHERE parse_instant("archivedAt", 'UTC') IS NOT NULL
