WITH known AS (
    SELECT c.id, c.properties, c."createdAt", c."updatedAt", a.id IS NOT NULL OR coalesce(c.archived, FALSE) AS is_deleted
    FROM (SELECT id FROM archived_contacts) a
    RIGHT JOIN contacts c ON c.id = a.id
    UNION ALL
    SELECT a.id, a.properties, a."createdAt", a."updatedAt", TRUE AS is_deleted
    FROM archived_contacts a
    LEFT JOIN (SELECT id FROM contacts) c ON c.id = a.id
    WHERE c.id IS NULL
),
-- A contact that was merged into another one is known from before, and is no more.
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
    SELECT DISTINCT old_id FROM merges
)
SELECT 'hubspot:' || $hub_id || ':' || c.id                                      AS contact_id,
       nullif(concat_ws(' ', nullif(trim(json_text(c.properties, 'firstname')), ''),
                             nullif(trim(json_text(c.properties, 'lastname')), '')), '')
                                                                                 AS name,
       -- Numbers that are none are passed over; HubSpot's own reading of them comes last, for it is a guess.
       coalesce(phone_e164(json_text(c.properties, 'phone'), $phone_region),
                phone_e164(json_text(c.properties, 'mobilephone'), $phone_region),
                phone_e164(json_text(c.properties, 'hs_whatsapp_phone_number'), $phone_region),
                phone_e164(json_text(c.properties, 'hs_searchable_calculated_phone_number'), $phone_region))
                                                                                 AS phone_e164,
       nullif(lower(trim(json_text(c.properties, 'email'))), '')                 AS email,
       'hubspot:' || $hub_id || ':' || nullif(json_text(c.properties, 'hubspot_owner_id'), '')
                                                                                 AS operator_id,
       nullif(trim(json_text(c.properties, 'state')), '')                        AS region,
       coalesce(parse_instant(json_text(c.properties, 'createdate'), 'UTC'), parse_instant(c."createdAt", 'UTC'))
                                                                                 AS created_at,
       coalesce(parse_instant(json_text(c.properties, 'lastmodifieddate'), 'UTC'), parse_instant(c."updatedAt", 'UTC'))
                                                                                 AS updated_at,
       c.is_deleted OR m.old_id IS NOT NULL                                      AS is_deleted
FROM merged m
RIGHT JOIN known c ON m.old_id = c.id
