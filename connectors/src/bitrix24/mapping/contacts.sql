-- A lead is a person too, until somebody makes a contact of it: phones and addresses stand in the lead itself.
WITH last_contact AS (
    SELECT max(id) AS last_id FROM contact_ids
),
last_lead AS (
    SELECT max(id) AS last_id FROM lead_ids
),
people AS (
    SELECT CAST(c.id AS VARCHAR) AS id, c.name, c."secondName" AS second_name, c."lastName" AS last_name,
           CAST(NULL AS VARCHAR) AS company, c."assignedById" AS user_id, c."createdTime" AS created_time,
           c."updatedTime" AS updated_time, c.fm, coalesce(i.id IS NULL AND c.id < m.last_id, FALSE) AS is_deleted
    FROM contact_ids i
    RIGHT JOIN contacts c ON i.id = c.id
    CROSS JOIN last_contact m
    UNION ALL
    SELECT 'lead_' || CAST(l.id AS VARCHAR), l.name, l."secondName", l."lastName", l."companyTitle", l."assignedById",
           l."createdTime", l."updatedTime", l.fm, coalesce(i.id IS NULL AND l.id < m.last_id, FALSE)
    FROM lead_ids i
    RIGHT JOIN leads l ON i.id = l.id
    CROSS JOIN last_lead m
    WHERE coalesce(l."contactId", 0) = 0
)
SELECT 'bitrix24:' || $portal || ':' || id                                       AS contact_id,
       coalesce(nullif(concat_ws(' ', nullif(trim(name), ''), nullif(trim(second_name), ''),
                                      nullif(trim(last_name), '')), ''),
                nullif(trim(company), ''))                                       AS name,
       -- Numbers that are none (an extension, a note) are passed over.
       coalesce(phone_e164(json_list(fm, '[typeId=PHONE].value')[1], $phone_region),
                phone_e164(json_list(fm, '[typeId=PHONE].value')[2], $phone_region),
                phone_e164(json_list(fm, '[typeId=PHONE].value')[3], $phone_region))
                                                                                 AS phone_e164,
       nullif(lower(trim(json_text(fm, '[typeId=EMAIL].value'))), '')            AS email,
       'bitrix24:' || $portal || ':' || CAST(nullif(user_id, 0) AS VARCHAR)      AS operator_id,
       parse_instant(created_time, 'UTC')                                        AS created_at,
       parse_instant(updated_time, 'UTC')                                        AS updated_at,
       is_deleted                                                                AS is_deleted
FROM people
