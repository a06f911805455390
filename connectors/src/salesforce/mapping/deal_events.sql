-- Each entry of the history holds stage and amount as they were then; what differs from the entry before was changed.
-- Leads that became an opportunity are that deal: as in deals.sql.
WITH steps AS (
    SELECT "Id" AS id, "OpportunityId" AS deal_id, "StageName" AS stage, nullif(trim("Amount"), '') AS amount,
           "CreatedById" AS user_id, parse_instant("CreatedDate", 'UTC') AS at,
           lag("StageName") OVER (PARTITION BY "OpportunityId" ORDER BY parse_instant("CreatedDate", 'UTC'), "Id")
               AS stage_before,
           lag(nullif(trim("Amount"), '')) OVER (PARTITION BY "OpportunityId"
                                                 ORDER BY parse_instant("CreatedDate", 'UTC'), "Id") AS amount_before
    FROM opportunity_history
    WHERE NOT coalesce("IsDeleted", FALSE)
),
converted AS (
    SELECT DISTINCT l."Id" AS lead_id
    FROM (SELECT "Id" FROM opportunities) o
    JOIN leads l ON o."Id" = l."ConvertedOpportunityId"
),
open_leads AS (
    SELECT l."Id" AS id, l."CreatedDate" AS created, l."SystemModstamp" AS updated,
           coalesce(l."IsDeleted", FALSE) AS is_deleted
    FROM converted c
    RIGHT JOIN leads l ON c.lead_id = l."Id"
    WHERE c.lead_id IS NULL
),
records AS (
    SELECT "Id" AS id, "CreatedDate" AS created, "SystemModstamp" AS updated,
           coalesce("IsDeleted", FALSE) AS is_deleted
    FROM opportunities
    UNION ALL
    SELECT id, created, updated, is_deleted FROM open_leads
)
SELECT 'salesforce:' || $org || ':' || id || ':stage'                        AS event_id,
       'salesforce:' || $org || ':' || deal_id                              AS deal_id,
       at                                                                   AS at,
       'status_changed'                                                     AS kind,
       stage_before                                                         AS status_before,
       stage                                                                AS status_after,
       CASE WHEN starts_with(user_id, '005') THEN 'salesforce:' || $org || ':' || user_id END
                                                                            AS operator_id
FROM steps
-- The first entry is the deal's creation, told below.
WHERE stage_before <> stage AND at IS NOT NULL
UNION ALL
SELECT 'salesforce:' || $org || ':' || id || ':amount',
       'salesforce:' || $org || ':' || deal_id,
       at,
       'value_changed',
       NULL,
       NULL,
       CASE WHEN starts_with(user_id, '005') THEN 'salesforce:' || $org || ':' || user_id END
FROM steps
-- The first amount of a deal is no change of one.
WHERE amount_before IS NOT NULL AND (amount IS NULL OR amount <> amount_before) AND at IS NOT NULL
UNION ALL
SELECT 'salesforce:' || $org || ':' || id || ':created',
       'salesforce:' || $org || ':' || id,
       parse_instant(created, 'UTC'),
       'created',
       NULL,
       NULL,
       NULL
FROM records
WHERE parse_instant(created, 'UTC') IS NOT NULL
UNION ALL
SELECT 'salesforce:' || $org || ':' || id || ':deleted',
       'salesforce:' || $org || ':' || id,
       parse_instant(updated, 'UTC'),
       'deleted',
       NULL,
       NULL,
       NULL
FROM records
WHERE is_deleted AND parse_instant(updated, 'UTC') IS NOT NULL
