SELECT 'amocrm:' || $subdomain || ':' || CAST(id AS VARCHAR)                      AS contact_id,
       nullif(name, '')                                                          AS name,
       -- Numbers that are none (an extension, a note) are passed over.
       coalesce(phone_e164(json_text(custom_fields_values, '[field_code=PHONE].values[0].value'), $phone_region),
                phone_e164(json_text(custom_fields_values, '[field_code=PHONE].values[1].value'), $phone_region),
                phone_e164(json_text(custom_fields_values, '[field_code=PHONE].values[2].value'), $phone_region))
                                                                                 AS phone_e164,
       nullif(lower(trim(json_text(custom_fields_values, '[field_code=EMAIL].values[0].value'))), '')
                                                                                 AS email,
       'amocrm:' || $subdomain || ':' || CAST(nullif(responsible_user_id, 0) AS VARCHAR)
                                                                                 AS operator_id,
       json_list(_embedded, 'tags[*].name')                                      AS tags,
       unix_to_instant(created_at)                                               AS created_at,
       unix_to_instant(updated_at)                                               AS updated_at,
       coalesce(is_deleted, FALSE)                                               AS is_deleted
FROM contacts
