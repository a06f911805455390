SELECT 'amocrm:' || $subdomain || ':' || CAST(id AS VARCHAR)        AS operator_id,
       nullif(name, '')                                             AS name,
       nullif(lower(trim(email)), '')                               AS email,
       json_text(_embedded, 'groups[0].name')                       AS team,
       CAST(id AS VARCHAR)                                          AS crm_user_id
FROM users
