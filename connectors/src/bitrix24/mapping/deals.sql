-- Deals as they stand now, and leads that are no deal yet. A lead that became a deal is that deal: counted once, from
-- the moment the lead was made, and with the lead's token and source where the deal has none.
WITH last_deal AS (
    SELECT max(id) AS last_id FROM deal_ids
),
last_lead AS (
    SELECT max(id) AS last_id FROM lead_ids
),
-- What is not in the list of ids is deleted. What is newer than the newest of them was made after the list was read.
gone AS (
    SELECT x.id AS gone_id
    FROM deal_ids i
    RIGHT JOIN (SELECT id FROM deals) x ON i.id = x.id
    CROSS JOIN last_deal m
    WHERE i.id IS NULL AND x.id < m.last_id
),
gone_leads AS (
    SELECT x.id AS gone_id
    FROM lead_ids i
    RIGHT JOIN (SELECT id FROM leads) x ON i.id = x.id
    CROSS JOIN last_lead m
    WHERE i.id IS NULL AND x.id < m.last_id
),
converted AS (
    SELECT DISTINCT "leadId" AS lead_id FROM deals WHERE coalesce("leadId", 0) <> 0
),
origins AS (
    SELECT id, parse_instant("createdTime", 'UTC') AS created_at, nullif(trim(tl_token), '') AS token,
           nullif(trim(tl_source), '') AS source, nullif(trim(tl_medium), '') AS medium,
           nullif(trim(tl_campaign), '') AS campaign
    FROM leads
),
known AS (
    SELECT CAST(d.id AS VARCHAR) AS id, d.id AS number, 'deal' AS kind, d.title, d."stageId" AS stage_id,
           d."categoryId" AS category_id, d."stageSemanticId" AS semantics, d.opportunity, d."currencyId" AS currency,
           d."assignedById" AS user_id, CAST(nullif(d."contactId", 0) AS VARCHAR) AS main,
           json_text(d."contactIds", '[0]') AS other, parse_instant(d."createdTime", 'UTC') AS created_at,
           parse_instant(d."updatedTime", 'UTC') AS updated_at, parse_instant(d."movedTime", 'UTC') AS moved_at,
           parse_instant(d.closedate, 'UTC') AS close_date, nullif(trim(d.tl_token), '') AS token,
           nullif(trim(d.tl_source), '') AS source, nullif(trim(d.tl_medium), '') AS medium,
           nullif(trim(d.tl_campaign), '') AS campaign, nullif(trim(d.tl_lost_reason), '') AS lost_reason,
           nullif(d."leadId", 0) AS lead_id, g.gone_id IS NOT NULL AS is_deleted
    FROM gone g
    RIGHT JOIN deals d ON g.gone_id = d.id
    UNION ALL
    SELECT 'lead_' || CAST(l.id AS VARCHAR) AS id, l.id AS number, 'lead' AS kind, l.title, l."stageId" AS stage_id,
           NULL AS category_id, l."stageSemanticId" AS semantics, l.opportunity, l."currencyId" AS currency,
           l."assignedById" AS user_id, CAST(nullif(l."contactId", 0) AS VARCHAR) AS main,
           'lead_' || CAST(l.id AS VARCHAR) AS other, parse_instant(l."createdTime", 'UTC') AS created_at,
           parse_instant(l."updatedTime", 'UTC') AS updated_at, parse_instant(l."movedTime", 'UTC') AS moved_at,
           NULL AS close_date, nullif(trim(l.tl_token), '') AS token, nullif(trim(l.tl_source), '') AS source,
           nullif(trim(l.tl_medium), '') AS medium, nullif(trim(l.tl_campaign), '') AS campaign, NULL AS lost_reason,
           NULL AS lead_id, g.gone_id IS NOT NULL AS is_deleted
    FROM converted c
    RIGHT JOIN leads l ON c.lead_id = l.id
    LEFT JOIN gone_leads g ON g.gone_id = l.id
    WHERE c.lead_id IS NULL
),
stages AS (
    SELECT CASE WHEN "ENTITY_ID" = 'STATUS' THEN 'lead' ELSE 'deal' END AS kind, "STATUS_ID" AS stage_id,
           max("NAME") AS stage, max("SEMANTICS") AS semantics
    FROM statuses
    WHERE "ENTITY_ID" = 'STATUS' OR "ENTITY_ID" = 'DEAL_STAGE' OR starts_with("ENTITY_ID", 'DEAL_STAGE_')
    GROUP BY CASE WHEN "ENTITY_ID" = 'STATUS' THEN 'lead' ELSE 'deal' END, "STATUS_ID"
),
-- When a deal came into its stage: the close date is a plan, and anybody may edit it.
moves AS (
    SELECT 'deal' AS kind, "OWNER_ID" AS number, "STAGE_ID" AS stage_id, parse_instant("CREATED_TIME", 'UTC') AS at,
           "ID" AS id
    FROM deal_stage_history
    UNION ALL
    SELECT 'lead', "OWNER_ID", "STATUS_ID", parse_instant("CREATED_TIME", 'UTC'), "ID" FROM lead_stage_history
),
steps AS (
    SELECT kind, number, stage_id, at,
           lag(stage_id) OVER (PARTITION BY kind, number ORDER BY at, id) AS before
    FROM moves
),
entered AS (
    SELECT kind, number, stage_id, max(at) AS at, bool_and(before IS NULL) AS from_start
    FROM steps
    WHERE before IS NULL OR before <> stage_id
    GROUP BY kind, number, stage_id
),
judged AS (
    SELECT k.*, s.stage,
           CASE coalesce(nullif(k.semantics, ''), s.semantics)
               -- A lead that ended well is a good lead, not a sale.
               WHEN 'S' THEN CASE WHEN k.kind = 'deal' THEN 'won' ELSE 'open' END
               WHEN 'F' THEN 'lost'
               ELSE 'open'
           END AS state
    FROM stages s
    RIGHT JOIN known k ON s.kind = k.kind AND s.stage_id = k.stage_id
)
SELECT 'bitrix24:' || $portal || ':' || d.id                                     AS deal_id,
       coalesce(least(o.created_at, d.created_at), d.created_at)                 AS created_at,
       d.state                                                                   AS state,
       nullif(d.title, '')                                                       AS name,
       'bitrix24:' || $portal || ':' || coalesce(d.main, d.other)                AS contact_id,
       c.name                                                                    AS pipeline,
       d.stage_id                                                                AS status_id,
       d.stage                                                                   AS status,
       minor_units(d.opportunity, coalesce(nullif(d.currency, ''), $currency))   AS value_minor,
       coalesce(nullif(d.currency, ''), $currency)                               AS currency,
       CASE
           WHEN d.state = 'open' THEN NULL
           -- Brought in as closed already, with its date: an import of old sales.
           WHEN d.from_start AND d.close_date < d.at THEN d.close_date
           ELSE coalesce(d.at, d.moved_at, d.close_date)
       END                                                                       AS closed_at,
       d.updated_at                                                              AS updated_at,
       'bitrix24:' || $portal || ':' || CAST(nullif(d.user_id, 0) AS VARCHAR)    AS operator_id,
       coalesce(bare_token(d.token), visit_token(d.token), bare_token(o.token), visit_token(o.token))
                                                                                 AS token,
       -- All three of the deal or all three of the lead: halves of both would make a campaign that never was.
       CASE WHEN coalesce(d.source, d.medium, d.campaign) IS NULL THEN o.source ELSE d.source END
                                                                                 AS source,
       CASE WHEN coalesce(d.source, d.medium, d.campaign) IS NULL THEN o.medium ELSE d.medium END
                                                                                 AS medium,
       CASE WHEN coalesce(d.source, d.medium, d.campaign) IS NULL THEN o.campaign ELSE d.campaign END
                                                                                 AS campaign,
       CASE WHEN d.state = 'lost' THEN coalesce(d.lost_reason, d.stage) END      AS lost_reason,
       d.is_deleted                                                              AS is_deleted
-- The narrow sides stand where a join holds them in memory.
FROM categories c
RIGHT JOIN (
    SELECT m.*, e.at, e.from_start
    FROM entered e
    RIGHT JOIN judged m ON e.kind = m.kind AND e.number = m.number AND e.stage_id = m.stage_id
) d ON c.id = d.category_id
LEFT JOIN origins o ON o.id = d.lead_id
