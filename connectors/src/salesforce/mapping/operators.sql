SELECT 'salesforce:' || $org || ':' || "Id"     AS operator_id,
       nullif(trim("Name"), '')                 AS name,
       nullif(lower(trim("Email")), '')         AS email,
       nullif(trim("Department"), '')           AS team,
       "Id"                                     AS crm_user_id
FROM users
