-- A lead is a person too, until somebody makes a contact of it.
WITH people AS (
    SELECT "Id" AS id, "Name" AS name, CAST(NULL AS VARCHAR) AS company, "MobilePhone" AS mobile, "Phone" AS phone,
           "HomePhone" AS home, "OtherPhone" AS other, "Email" AS email, "MailingState" AS region, "OwnerId" AS owner_id,
           "CreatedDate" AS created, "SystemModstamp" AS updated, coalesce("IsDeleted", FALSE) AS is_deleted
    FROM contacts
    UNION ALL
    SELECT "Id", "Name", "Company", "MobilePhone", "Phone", NULL, NULL, "Email", "State", "OwnerId", "CreatedDate",
           "SystemModstamp", coalesce("IsDeleted", FALSE)
    FROM leads
    WHERE coalesce("ConvertedContactId", '') = ''
)
SELECT 'salesforce:' || $org || ':' || id                                        AS contact_id,
       coalesce(nullif(trim(name), ''), nullif(trim(company), ''))               AS name,
       -- Numbers that are none (an extension, a note) are passed over.
       coalesce(phone_e164(mobile, $phone_region), phone_e164(phone, $phone_region),
                phone_e164(home, $phone_region), phone_e164(other, $phone_region))
                                                                                 AS phone_e164,
       nullif(lower(trim(email)), '')                                            AS email,
       CASE WHEN starts_with(owner_id, '005') THEN 'salesforce:' || $org || ':' || owner_id END
                                                                                 AS operator_id,
       nullif(trim(region), '')                                                  AS region,
       parse_instant(created, 'UTC')                                             AS created_at,
       parse_instant(updated, 'UTC')                                             AS updated_at,
       is_deleted                                                                AS is_deleted
FROM people
