WITH links AS (
    SELECT "OpportunityId" AS deal_id, "ContactId" AS contact_id, "IsPrimary" AS is_main
    FROM opportunity_contact_roles
    WHERE NOT coalesce("IsDeleted", FALSE)
    UNION ALL
    SELECT "Id", "ContactId", TRUE FROM opportunities
)
SELECT 'salesforce:' || $org || ':' || deal_id        AS deal_id,
       'salesforce:' || $org || ':' || contact_id     AS contact_id,
       coalesce(bool_or(is_main), FALSE)              AS is_main
FROM links
WHERE deal_id <> '' AND contact_id <> ''
GROUP BY deal_id, contact_id
