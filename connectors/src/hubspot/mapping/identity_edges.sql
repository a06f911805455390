-- Every phone and address of a contact ties it to a person; so do the contacts that were merged into it.
WITH phones AS (
    SELECT id, phone_e164(json_text(properties, 'phone'), $phone_region) AS value FROM contacts
    UNION ALL
    SELECT id, phone_e164(json_text(properties, 'mobilephone'), $phone_region) FROM contacts
    UNION ALL
    SELECT id, phone_e164(json_text(properties, 'hs_whatsapp_phone_number'), $phone_region) FROM contacts
),
emails AS (
    SELECT id, lower(trim(json_text(properties, 'email'))) AS value FROM contacts
    UNION ALL
    SELECT id, lower(trim(unnest(string_to_array(json_text(properties, 'hs_additional_emails'), ';')))) FROM contacts
),
merges AS (
    SELECT id AS new_id, split_part(entry, ':', 1) AS old_id
    FROM (
        SELECT id, unnest(string_to_array(concat_ws(';', json_text(properties, 'hs_merged_object_ids'),
                                                         json_text(properties, 'hs_calculated_merged_vids')), ';')) AS entry
        FROM contacts
    ) m
    WHERE split_part(entry, ':', 1) NOT IN ('', id)
)
SELECT DISTINCT
       'crm_contact'                                    AS left_type,
       'hubspot:' || $hub_id || ':' || id               AS left_value,
       'phone'                                          AS right_type,
       value                                            AS right_value,
       'hubspot contact ' || id                         AS evidence
FROM phones
WHERE value IS NOT NULL
UNION ALL
SELECT DISTINCT
       'crm_contact',
       'hubspot:' || $hub_id || ':' || id,
       'email',
       value,
       'hubspot contact ' || id
FROM emails
WHERE value <> ''
UNION ALL
SELECT DISTINCT
       'crm_contact',
       'hubspot:' || $hub_id || ':' || new_id,
       'crm_contact',
       'hubspot:' || $hub_id || ':' || old_id,
       'hubspot contact ' || new_id || ', merged'
FROM merges
