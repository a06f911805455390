-- Contacts of leads, of the version changed last: as in deals.sql.
WITH known AS (
    SELECT l.id, l._embedded
    FROM (SELECT id, coalesce(updated_at, 0) AS at FROM deleted_leads) b
    RIGHT JOIN leads l ON l.id = b.id
    WHERE b.id IS NULL OR b.at < coalesce(l.updated_at, 0)
    UNION ALL
    SELECT b.id, b._embedded
    FROM deleted_leads b
    LEFT JOIN (SELECT id, coalesce(updated_at, 0) AS at FROM leads) l ON l.id = b.id
    WHERE l.id IS NULL OR l.at <= coalesce(b.updated_at, 0)
),
links AS (
    SELECT id, unnest(json_list(_embedded, 'contacts[*]')) AS contact FROM known
)
SELECT 'amocrm:' || $subdomain || ':' || CAST(id AS VARCHAR)              AS deal_id,
       'amocrm:' || $subdomain || ':' || json_text(contact, 'id')         AS contact_id,
       json_text(contact, 'is_main') = 'true'                             AS is_main
FROM links
WHERE json_text(contact, 'id') IS NOT NULL
