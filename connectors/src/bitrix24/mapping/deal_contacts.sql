-- Leads that became a deal are that deal: as in deals.sql.
WITH converted AS (
    SELECT DISTINCT "leadId" AS id FROM deals WHERE coalesce("leadId", 0) <> 0
),
each_one AS (
    SELECT CAST(id AS VARCHAR) AS deal_id, nullif("contactId", 0) AS main, "contactIds" AS contacts FROM deals
    UNION ALL
    SELECT 'lead_' || CAST(l.id AS VARCHAR), nullif(l."contactId", 0), l."contactIds"
    FROM converted c
    RIGHT JOIN leads l ON c.id = l.id
    WHERE c.id IS NULL
),
links AS (
    SELECT deal_id, main, unnest(json_list(contacts, '[*]')) AS contact FROM each_one
    UNION ALL
    SELECT deal_id, main, CAST(main AS VARCHAR) AS contact FROM each_one WHERE main IS NOT NULL
    UNION ALL
    -- A lead without a contact is a person itself.
    SELECT deal_id, NULL AS main, deal_id AS contact
    FROM each_one
    WHERE deal_id LIKE 'lead\_%' ESCAPE '\' AND main IS NULL
)
SELECT 'bitrix24:' || $portal || ':' || deal_id                            AS deal_id,
       'bitrix24:' || $portal || ':' || contact                            AS contact_id,
       bool_or(contact = coalesce(CAST(main AS VARCHAR), deal_id))         AS is_main
FROM links
WHERE contact <> '0'
GROUP BY deal_id, contact
