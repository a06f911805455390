-- Every phone and address of a contact ties it to a person.
WITH phones AS (
    SELECT id, unnest(json_list(custom_fields_values, '[field_code=PHONE].values[*].value')) AS value FROM contacts
),
emails AS (
    SELECT id, unnest(json_list(custom_fields_values, '[field_code=EMAIL].values[*].value')) AS value FROM contacts
)
SELECT DISTINCT
       'crm_contact'                                                AS left_type,
       'amocrm:' || $subdomain || ':' || CAST(id AS VARCHAR)        AS left_value,
       'phone'                                                      AS right_type,
       phone_e164(value, $phone_region)                             AS right_value,
       'amocrm contact ' || CAST(id AS VARCHAR)                     AS evidence
FROM phones
WHERE phone_e164(value, $phone_region) IS NOT NULL
UNION ALL
SELECT DISTINCT
       'crm_contact',
       'amocrm:' || $subdomain || ':' || CAST(id AS VARCHAR),
       'email',
       lower(trim(value)),
       'amocrm contact ' || CAST(id AS VARCHAR)
FROM emails
WHERE trim(value) <> ''
