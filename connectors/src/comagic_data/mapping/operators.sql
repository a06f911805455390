-- Employees, with the first of their groups.
SELECT 'comagic:' || id                                                            AS operator_id,
       coalesce(nullif(full_name, ''),
                nullif(trim(concat_ws(' ', last_name, first_name, patronymic)), '')) AS name,
       lower(nullif(email, ''))                                                    AS email,
       json_text(groups, '[0].group_name')                                         AS team
FROM employees
