-- Contacts of leads, of the version changed last.
WITH known AS (
    SELECT id, updated_at, _embedded, 0 AS from_basket FROM leads
    UNION ALL
    SELECT id, updated_at, _embedded, 1 AS from_basket FROM deleted_leads
),
ranked AS (
    SELECT known.*,
           row_number() OVER (PARTITION BY id ORDER BY coalesce(updated_at, 0) DESC, from_basket DESC) AS n
    FROM known
),
links AS (
    SELECT id, unnest(json_list(_embedded, 'contacts[*]')) AS contact FROM ranked WHERE n = 1
)
SELECT 'amocrm:' || $subdomain || ':' || CAST(id AS VARCHAR)              AS deal_id,
       'amocrm:' || $subdomain || ':' || json_text(contact, 'id')         AS contact_id,
       json_text(contact, 'is_main') = 'true'                             AS is_main
FROM links
WHERE json_text(contact, 'id') IS NOT NULL
