-- Leads that became a deal are that deal: as in deals.sql.
WITH converted AS (
    SELECT "leadId" AS id, min(id) AS deal_id FROM deals WHERE coalesce("leadId", 0) <> 0 GROUP BY "leadId"
),
open_leads AS (
    SELECT l.id, l."createdTime" AS created_time
    FROM converted c
    RIGHT JOIN leads l ON c.id = l.id
    WHERE c.id IS NULL
),
moves AS (
    SELECT CAST("OWNER_ID" AS VARCHAR) AS deal_id, "ID" AS id, "STAGE_ID" AS stage,
           parse_instant("CREATED_TIME", 'UTC') AS at
    FROM deal_stage_history
    UNION ALL
    SELECT 'lead_' || CAST(h."OWNER_ID" AS VARCHAR), h."ID", h."STATUS_ID", parse_instant(h."CREATED_TIME", 'UTC')
    FROM open_leads l
    JOIN lead_stage_history h ON l.id = h."OWNER_ID"
),
steps AS (
    SELECT deal_id, id, stage, at, lag(stage) OVER (PARTITION BY deal_id ORDER BY at, id) AS before FROM moves
)
SELECT 'bitrix24:' || $portal || ':' || deal_id || ':' || CAST(id AS VARCHAR)   AS event_id,
       'bitrix24:' || $portal || ':' || deal_id                                AS deal_id,
       at                                                                      AS at,
       'status_changed'                                                        AS kind,
       before                                                                  AS status_before,
       stage                                                                   AS status_after
FROM steps
-- The first stage is the deal's creation, told below; an entry that repeats the stage before it changed nothing.
WHERE before <> stage AND at IS NOT NULL
UNION ALL
SELECT 'bitrix24:' || $portal || ':' || CAST(id AS VARCHAR) || ':created',
       'bitrix24:' || $portal || ':' || CAST(id AS VARCHAR),
       parse_instant("createdTime", 'UTC'),
       'created',
       NULL,
       NULL
FROM deals
WHERE parse_instant("createdTime", 'UTC') IS NOT NULL
UNION ALL
SELECT 'bitrix24:' || $portal || ':lead_' || CAST(id AS VARCHAR) || ':created',
       'bitrix24:' || $portal || ':lead_' || CAST(id AS VARCHAR),
       parse_instant(created_time, 'UTC'),
       'created',
       NULL,
       NULL
FROM open_leads
WHERE parse_instant(created_time, 'UTC') IS NOT NULL
