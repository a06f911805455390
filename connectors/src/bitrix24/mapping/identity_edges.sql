-- Every phone and address of a contact or lead ties it to a person; so does the contact that was made of a lead.
WITH people AS (
    SELECT CAST(id AS VARCHAR) AS id, fm FROM contacts
    UNION ALL
    SELECT 'lead_' || CAST(id AS VARCHAR), fm FROM leads
),
phones AS (
    SELECT id, phone_e164(value, $phone_region) AS value
    FROM (SELECT id, unnest(json_list(fm, '[typeId=PHONE].value')) AS value FROM people) p
),
emails AS (
    SELECT id, lower(trim(value)) AS value
    FROM (SELECT id, unnest(json_list(fm, '[typeId=EMAIL].value')) AS value FROM people) e
)
SELECT DISTINCT
       'crm_contact'                                    AS left_type,
       'bitrix24:' || $portal || ':' || id              AS left_value,
       'phone'                                          AS right_type,
       value                                            AS right_value,
       'bitrix24 contact ' || id                        AS evidence
FROM phones
WHERE value IS NOT NULL
UNION ALL
SELECT DISTINCT
       'crm_contact',
       'bitrix24:' || $portal || ':' || id,
       'email',
       value,
       'bitrix24 contact ' || id
FROM emails
WHERE value <> ''
UNION ALL
SELECT DISTINCT
       'crm_contact',
       'bitrix24:' || $portal || ':lead_' || CAST(id AS VARCHAR),
       'crm_contact',
       'bitrix24:' || $portal || ':' || CAST("contactId" AS VARCHAR),
       'bitrix24 lead ' || CAST(id AS VARCHAR) || ', its contact'
FROM leads
WHERE coalesce("contactId", 0) <> 0
