SELECT 'bitrix24:' || $portal || ':' || CAST("ID" AS VARCHAR)                    AS operator_id,
       nullif(concat_ws(' ', nullif(trim("NAME"), ''), nullif(trim("LAST_NAME"), '')), '')
                                                                                 AS name,
       nullif(lower(trim("EMAIL")), '')                                          AS email,
       CAST("ID" AS VARCHAR)                                                     AS crm_user_id
FROM users
