-- Deals as they stand now. A deal that is among the archived ones is deleted; the list of those is whole each time.
WITH known AS (
    SELECT d.id, d.properties, d."propertiesWithHistory" AS history, d."createdAt", d."updatedAt",
           a.id IS NOT NULL OR coalesce(d.archived, FALSE) AS is_deleted
    FROM (SELECT id FROM archived_deals) a
    RIGHT JOIN deals d ON d.id = a.id
    UNION ALL
    SELECT a.id, a.properties, NULL AS history, a."createdAt", a."updatedAt", TRUE AS is_deleted
    FROM archived_deals a
    LEFT JOIN (SELECT id FROM deals) d ON d.id = a.id
    WHERE d.id IS NULL
),
read_out AS (
    SELECT id, "createdAt", "updatedAt", is_deleted,
           json_text(properties, 'dealname') AS name,
           json_text(properties, 'dealstage') AS stage_id,
           json_text(properties, 'pipeline') AS pipeline_id,
           nullif(trim(json_text(properties, 'amount')), '') AS amount,
           nullif(json_text(properties, 'deal_currency_code'), '') AS currency,
           json_text(properties, 'hs_is_closed') AS is_closed,
           json_text(properties, 'hs_is_closed_won') AS is_won,
           parse_instant(json_text(properties, 'createdate'), 'UTC') AS created_at,
           parse_instant(json_text(properties, 'closedate'), 'UTC') AS close_date,
           parse_instant(json_text(properties, 'hs_lastmodifieddate'), 'UTC') AS updated_at,
           nullif(json_text(properties, 'hubspot_owner_id'), '') AS owner_id,
           json_text(properties, '["' || $token_field || '"]') AS token,
           nullif(trim(json_text(properties, '["' || $source_field || '"]')), '') AS source,
           nullif(trim(json_text(properties, '["' || $medium_field || '"]')), '') AS medium,
           nullif(trim(json_text(properties, '["' || $campaign_field || '"]')), '') AS campaign,
           nullif(trim(json_text(properties, '["' || $lost_reason_field || '"]')), '') AS lost_reason,
           nullif(lower(json_text(properties, 'hs_analytics_source')), 'offline') AS found_source,
           -- When it came into its stage: the close date is a plan while the deal is open, and anybody may edit it.
           held_since(history, 'dealstage[*]', 'timestamp', 'value', json_text(properties, 'dealstage')) AS at,
           parse_instant(json_text(json_by_time(history, 'dealstage[*]', 'timestamp')[1], 'timestamp'), 'UTC') AS first_at
    FROM known
),
stages AS (
    SELECT pipeline_id, pipeline, json_text(stage, 'id') AS stage_id, json_text(stage, 'label') AS stage,
           json_text(stage, 'metadata.isClosed') = 'true' AS is_closed,
           CAST(json_text(stage, 'metadata.probability') AS DOUBLE) = 1 AS is_sure
    FROM (SELECT id AS pipeline_id, label AS pipeline, unnest(json_list(stages, '[*]')) AS stage FROM pipelines) s
),
links AS (
    SELECT coalesce(o.deal_id, c.deal_id) AS deal_id,
           CASE WHEN o.deal_id IS NOT NULL THEN o.contacts ELSE c.contacts END AS contacts
    FROM deal_contacts c
    FULL JOIN open_deal_contacts o ON c.deal_id = o.deal_id
),
-- Contacts that were merged into another one, which lists their ids; one that was merged on itself is not meant.
merges AS (
    SELECT id AS new_id, split_part(entry, ':', 1) AS old_id
    FROM (
        SELECT id, unnest(string_to_array(concat_ws(';', json_text(properties, 'hs_merged_object_ids'),
                                                         json_text(properties, 'hs_calculated_merged_vids')), ';')) AS entry
        FROM contacts
    ) m
    WHERE split_part(entry, ':', 1) NOT IN ('', id)
),
merged AS (
    SELECT m.old_id, min(m.new_id) AS new_id
    FROM (SELECT DISTINCT old_id FROM merges) gone
    RIGHT JOIN merges m ON gone.old_id = m.new_id
    WHERE gone.old_id IS NULL
    GROUP BY m.old_id
),
main AS (
    SELECT l.deal_id, coalesce(m.new_id, l.contact) AS contact
    FROM merged m
    RIGHT JOIN (SELECT deal_id, json_text(contacts, '[0].toObjectId') AS contact FROM links) l ON m.old_id = l.contact
),
money AS (
    SELECT coalesce($currency, max("companyCurrency")) AS currency FROM account
),
judged AS (
    SELECT d.*, s.pipeline, s.stage, coalesce(d.currency, d.home) AS in_currency,
           CASE
               WHEN d.is_won = 'true' THEN 'won'
               WHEN d.is_closed = 'true' AND d.is_won = 'false' THEN 'lost'
               WHEN d.is_closed = 'false' THEN 'open'
               WHEN s.is_closed AND s.is_sure THEN 'won'
               WHEN s.is_closed THEN 'lost'
               ELSE 'open'
           END AS state
    FROM stages s
    RIGHT JOIN (SELECT read_out.*, money.currency AS home FROM money CROSS JOIN read_out) d
        ON s.pipeline_id = d.pipeline_id AND s.stage_id = d.stage_id
)
SELECT 'hubspot:' || $hub_id || ':' || d.id                                      AS deal_id,
       coalesce(d.created_at, parse_instant(d."createdAt", 'UTC'))               AS created_at,
       d.state                                                                   AS state,
       nullif(d.name, '')                                                        AS name,
       'hubspot:' || $hub_id || ':' || main.contact                              AS contact_id,
       d.pipeline                                                                AS pipeline,
       d.stage_id                                                                AS status_id,
       d.stage                                                                   AS status,
       minor_units(d.amount, d.in_currency)                                      AS value_minor,
       d.in_currency                                                             AS currency,
       CASE
           WHEN d.state = 'open' THEN NULL
           -- Brought in as closed already, with its date: an import of old sales.
           WHEN d.at IS NULL OR (d.at = d.first_at AND d.close_date < d.at) THEN d.close_date
           ELSE d.at
       END                                                                       AS closed_at,
       coalesce(d.updated_at, parse_instant(d."updatedAt", 'UTC'))               AS updated_at,
       'hubspot:' || $hub_id || ':' || d.owner_id                                AS operator_id,
       coalesce(bare_token(d.token), visit_token(d.token))                       AS token,
       coalesce(d.source, nullif(d.found_source, ''))                            AS source,
       d.medium                                                                  AS medium,
       d.campaign                                                                AS campaign,
       CASE WHEN d.state = 'lost' THEN d.lost_reason END                         AS lost_reason,
       d.is_deleted                                                              AS is_deleted
-- The narrow sides stand where a join holds them in memory.
FROM main
RIGHT JOIN judged d ON main.deal_id = d.id
