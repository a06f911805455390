-- Opportunities as they stand now, and leads that are none yet. A lead that became an opportunity is that deal: counted
-- once, from the moment the lead was made, and with the lead's token and source where the opportunity has none.
WITH converted AS (
    SELECT l."ConvertedOpportunityId" AS deal_id, l."Id" AS lead_id, l."ConvertedContactId" AS contact_id,
           parse_instant(l."CreatedDate", 'UTC') AS created_at, nullif(trim(l.tl_token), '') AS token,
           nullif(trim(l.tl_source), '') AS source, nullif(trim(l.tl_medium), '') AS medium,
           nullif(trim(l.tl_campaign), '') AS campaign,
           row_number() OVER (PARTITION BY l."ConvertedOpportunityId"
                              ORDER BY parse_instant(l."CreatedDate", 'UTC'), l."Id") AS place
    FROM (SELECT "Id" FROM opportunities) o
    JOIN leads l ON o."Id" = l."ConvertedOpportunityId"
),
origins AS (
    SELECT * FROM converted WHERE place = 1
),
roles AS (
    SELECT deal_id, contact_id
    FROM (
        SELECT "OpportunityId" AS deal_id, "ContactId" AS contact_id,
               row_number() OVER (PARTITION BY "OpportunityId"
                                  ORDER BY coalesce("IsPrimary", FALSE) DESC, "Id") AS place
        FROM opportunity_contact_roles
        WHERE NOT coalesce("IsDeleted", FALSE)
    ) r
    WHERE place = 1
),
known AS (
    SELECT o."Id" AS id, nullif(trim(o."Name"), '') AS name, o."ContactId" AS contact_id, o."AccountId" AS account_id,
           o."RecordTypeId" AS record_type_id, o."StageName" AS stage,
           CASE WHEN o."IsWon" THEN 'won' WHEN o."IsClosed" THEN 'lost' ELSE 'open' END AS state,
           nullif(trim(o."Amount"), '') AS amount, nullif(o."CurrencyIsoCode", '') AS currency,
           parse_instant(o."CloseDate", $time_zone) AS close_date, o."OwnerId" AS owner_id,
           parse_instant(o."CreatedDate", 'UTC') AS created_at, parse_instant(o."SystemModstamp", 'UTC') AS updated_at,
           nullif(trim(o.tl_token), '') AS token, nullif(trim(o.tl_source), '') AS source,
           nullif(trim(o.tl_medium), '') AS medium, nullif(trim(o.tl_campaign), '') AS campaign,
           nullif(trim(o.tl_lost_reason), '') AS lost_reason, coalesce(o."IsDeleted", FALSE) AS is_deleted,
           FALSE AS is_lead
    FROM opportunities o
    UNION ALL
    SELECT l."Id", nullif(trim(l."Name"), ''), coalesce(nullif(l."ConvertedContactId", ''), l."Id"), NULL, NULL,
           l."Status",
           CASE WHEN strpos('|' || $lost_lead_statuses || '|', '|' || l."Status" || '|') > 0 THEN 'lost' ELSE 'open' END,
           NULL, NULL, NULL, l."OwnerId", parse_instant(l."CreatedDate", 'UTC'),
           parse_instant(l."SystemModstamp", 'UTC'), nullif(trim(l.tl_token), ''), nullif(trim(l.tl_source), ''),
           nullif(trim(l.tl_medium), ''), nullif(trim(l.tl_campaign), ''), nullif(trim(l.tl_lost_reason), ''),
           coalesce(l."IsDeleted", FALSE), TRUE
    FROM (SELECT DISTINCT lead_id FROM converted) c
    RIGHT JOIN leads l ON c.lead_id = l."Id"
    WHERE c.lead_id IS NULL
),
-- When a deal came into its stage: the close date is a plan, and anybody may edit it.
steps AS (
    SELECT "OpportunityId" AS id, "StageName" AS stage, parse_instant("CreatedDate", 'UTC') AS at,
           lag("StageName") OVER (PARTITION BY "OpportunityId" ORDER BY parse_instant("CreatedDate", 'UTC'), "Id")
               AS before
    FROM opportunity_history
    WHERE NOT coalesce("IsDeleted", FALSE)
),
entered AS (
    SELECT id, stage, max(at) AS at, bool_and(before IS NULL) AS from_start
    FROM steps
    WHERE before IS NULL OR before <> stage
    GROUP BY id, stage
),
money AS (
    SELECT coalesce($currency, max("DefaultCurrencyIsoCode")) AS currency FROM organization
),
placed AS (
    SELECT k.*, coalesce(k.currency, m.currency) AS in_currency FROM money m CROSS JOIN known k
)
SELECT 'salesforce:' || $org || ':' || d.id                                      AS deal_id,
       coalesce(least(g.created_at, d.created_at), d.created_at)                 AS created_at,
       d.state                                                                   AS state,
       d.name                                                                    AS name,
       'salesforce:' || $org || ':' || coalesce(nullif(d.contact_id, ''), r.contact_id, nullif(g.contact_id, ''),
                                                nullif(a."PersonContactId", '')) AS contact_id,
       t."Name"                                                                  AS pipeline,
       d.stage                                                                   AS status_id,
       d.stage                                                                   AS status,
       minor_units(d.amount, d.in_currency)                                      AS value_minor,
       d.in_currency                                                             AS currency,
       CASE
           WHEN d.state = 'open' THEN NULL
           WHEN d.is_lead THEN d.updated_at
           -- Brought in as closed already, with its date: an import of old sales.
           WHEN e.at IS NULL OR (e.from_start AND d.close_date < e.at) THEN least(d.close_date, d.updated_at)
           ELSE e.at
       END                                                                       AS closed_at,
       d.updated_at                                                              AS updated_at,
       CASE WHEN starts_with(d.owner_id, '005') THEN 'salesforce:' || $org || ':' || d.owner_id END
                                                                                 AS operator_id,
       coalesce(bare_token(d.token), visit_token(d.token), bare_token(g.token), visit_token(g.token))
                                                                                 AS token,
       -- All three of the opportunity or all three of the lead: halves of both would make a campaign that never was.
       CASE WHEN coalesce(d.source, d.medium, d.campaign) IS NULL THEN g.source ELSE d.source END
                                                                                 AS source,
       CASE WHEN coalesce(d.source, d.medium, d.campaign) IS NULL THEN g.medium ELSE d.medium END
                                                                                 AS medium,
       CASE WHEN coalesce(d.source, d.medium, d.campaign) IS NULL THEN g.campaign ELSE d.campaign END
                                                                                 AS campaign,
       CASE WHEN d.state = 'lost' THEN coalesce(d.lost_reason, CASE WHEN d.is_lead THEN d.stage END) END
                                                                                 AS lost_reason,
       'salesforce:' || $org || ':' || coalesce(g.lead_id, CASE WHEN d.is_lead THEN d.id END)
                                                                                 AS lead_id,
       d.is_deleted                                                              AS is_deleted
-- The narrow sides stand where a join holds them in memory.
FROM record_types t
RIGHT JOIN placed d ON t."Id" = d.record_type_id
LEFT JOIN entered e ON e.id = d.id AND e.stage = d.stage
LEFT JOIN roles r ON r.deal_id = d.id
LEFT JOIN origins g ON g.deal_id = d.id
LEFT JOIN (SELECT "Id", "PersonContactId" FROM accounts WHERE "PersonContactId" IS NOT NULL) a ON a."Id" = d.account_id
