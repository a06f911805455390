-- Every phone and address of a contact or lead ties it to a person; so do the contact that was made of a lead, and the
-- record that another one was merged into.
WITH phones AS (
    SELECT "Id" AS id, phone_e164("MobilePhone", $phone_region) AS value FROM contacts
    UNION ALL
    SELECT "Id", phone_e164("Phone", $phone_region) FROM contacts
    UNION ALL
    SELECT "Id", phone_e164("HomePhone", $phone_region) FROM contacts
    UNION ALL
    SELECT "Id", phone_e164("OtherPhone", $phone_region) FROM contacts
    UNION ALL
    SELECT "Id", phone_e164("MobilePhone", $phone_region) FROM leads
    UNION ALL
    SELECT "Id", phone_e164("Phone", $phone_region) FROM leads
),
emails AS (
    SELECT "Id" AS id, lower(trim("Email")) AS value FROM contacts
    UNION ALL
    SELECT "Id", lower(trim("Email")) FROM leads
),
same AS (
    SELECT "Id" AS id, "ConvertedContactId" AS other, 'its contact' AS why FROM leads
    UNION ALL
    SELECT "Id", "MasterRecordId", 'merged' FROM leads
    UNION ALL
    SELECT "Id", "MasterRecordId", 'merged' FROM contacts
)
SELECT DISTINCT
       'crm_contact'                               AS left_type,
       'salesforce:' || $org || ':' || id          AS left_value,
       'phone'                                     AS right_type,
       value                                       AS right_value,
       'salesforce record ' || id                  AS evidence
FROM phones
WHERE value IS NOT NULL
UNION ALL
SELECT DISTINCT
       'crm_contact',
       'salesforce:' || $org || ':' || id,
       'email',
       value,
       'salesforce record ' || id
FROM emails
WHERE value <> ''
UNION ALL
SELECT DISTINCT
       'crm_contact',
       'salesforce:' || $org || ':' || id,
       'crm_contact',
       'salesforce:' || $org || ':' || other,
       'salesforce record ' || id || ', ' || why
FROM same
WHERE other <> ''
